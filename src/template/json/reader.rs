//! The parser: values and containers, and recovery from errors.

use super::fault::JsonSyntaxError;
use crate::template::edit::{Change, Fix, Safety, json_string};
use crate::template::node::{Member, Node, Value};
use crate::template::text::Span;

/// The maximum number of errors. A text with more errors is not JSON.
const MAX_FAULTS: usize = 1000;

/// The maximum nesting depth, because the parser is recursive. A template needs four levels.
const MAX_DEPTH: usize = 128;

/// Parses a JSON document. An empty or unusable text results in [`Value::Broken`] and at least one error.
pub fn read(text: &str) -> (Node, Vec<JsonSyntaxError>) {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        faults: Vec::new(),
        full: false,
        derailed: false,
        open_end: false,
        comma_reported: false,
        unclosed_end: None,
        no_key: None,
    };
    if text.starts_with('\u{feff}') {
        reader.fault(0, 3, "the file starts with a byte order mark", Some("save it as UTF-8 without BOM"));
        reader.safe_fix("remove the byte order mark", 0, 3, "");
        reader.at = 3;
    }
    reader.space();
    let node = if reader.peek().is_none() {
        reader.fault(
            reader.at,
            reader.at,
            "the template is empty",
            Some("a template is a JSON object: { … }"),
        );
        reader.broken(reader.at)
    } else {
        reader.value()
    };
    reader.space();
    if reader.at < text.len() {
        reader.fault(reader.at, text.len(), "unexpected text after the end of the template", None);
    }
    (node, reader.faults)
}

pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    depth: usize,
    pub(super) faults: Vec<JsonSyntaxError>,
    /// There were more than [`MAX_FAULTS`] errors.
    full: bool,
    /// The parser is guessing, so later fixes are not reliable.
    derailed: bool,
    /// The text ends inside a string or comment, so nothing can be appended to it.
    pub(super) open_end: bool,
    /// The missing comma before the next item is already part of a reported error.
    comma_reported: bool,
    /// The end of an unclosed container, which is before the current position.
    unclosed_end: Option<usize>,
    /// The end of the last text that is not a key. Text that follows immediately belongs to it.
    no_key: Option<usize>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn fault(
        &mut self,
        start: usize,
        end: usize,
        message: impl Into<String>,
        help: Option<&'static str>,
    ) {
        self.full |= self.faults.len() == MAX_FAULTS;
        if !self.full {
            self.faults.push(JsonSyntaxError {
                span: Span::new(start, end),
                message: message.into(),
                help,
                fix: None,
            });
        }
    }

    /// Adds a fix to the last error that does not change how the text is parsed.
    pub(super) fn safe_fix(&mut self, title: &str, start: usize, end: usize, text: &str) {
        self.fix(Safety::Safe, title, start, end, text);
    }

    /// Adds a fix to the last error that is a guess, which also affects everything after it.
    pub(super) fn guess(&mut self, title: &str, start: usize, end: usize, text: &str) {
        self.fix(Safety::Unsafe, title, start, end, text);
        self.derailed = true;
    }

    /// Adds a fix to the last error that loses text.
    pub(super) fn unsafe_fix(&mut self, title: &str, start: usize, end: usize, text: &str) {
        self.fix(Safety::Unsafe, title, start, end, text);
    }

    fn fix(&mut self, safety: Safety, title: &str, start: usize, end: usize, text: &str) {
        if let Some(fault) = self.faults.last_mut().filter(|_| !self.full && !self.derailed) {
            let changes = vec![Change::Replace(Span::new(start, end), text.to_owned())];
            fault.fix = Some(Fix { title: title.to_owned(), safety, changes });
        }
    }

    fn broken(&self, start: usize) -> Node {
        Node { span: Span::new(start, self.at), value: Value::Broken }
    }

    /// Skips white space and comments, with an error for each comment.
    fn space(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let start = self.at;
            match rest.as_bytes() {
                [b' ' | b'\t' | b'\r' | b'\n', ..] => {
                    self.at += 1;
                    continue;
                }
                [b'/', b'/', ..] | [b'#', ..] => {
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                [b'/', b'*', ..] => {
                    self.at += rest.find("*/").map_or(rest.len(), |end| end + 2);
                }
                _ => {
                    // Unicode white space is not valid in JSON, but easily pasted.
                    match rest.chars().next() {
                        Some(c) if c.is_whitespace() => self.at += c.len_utf8(),
                        _ => return,
                    }
                    self.fault(start, self.at, "invalid white space character", Some("use plain spaces"));
                    self.safe_fix("replace it with a space", start, self.at, " ");
                    continue;
                }
            }
            // Keep the line end, and remove the white space before the comment.
            let end = start + self.text[start..self.at].trim_end_matches('\r').len();
            let blanks = self.text[..start].len() - self.text[..start].trim_end_matches([' ', '\t']).len();
            self.fault(
                start,
                self.at,
                "comments are not allowed in JSON",
                Some("remove it, or move the text to a `$comment` key"),
            );
            self.unsafe_fix("remove the comment", start - blanks, end, "");
            self.open_end |= self.at == self.text.len();
        }
    }

    fn value(&mut self) -> Node {
        let start = self.at;
        if let Some(end) = self.end_of_half_quoted() {
            self.at = end;
            self.fault(start, end, "missing quote at the beginning of the string", Some("add \""));
            self.guess("add `\"` before it", start, start, "\"");
            return self.node(start, Value::String(self.text[start..end - 1].to_owned()));
        }
        match self.peek() {
            Some(b'{') => self.nested(start, Self::object),
            Some(b'[') => self.nested(start, Self::array),
            Some(b'"' | b'\'') => {
                let text = self.string();
                self.node(start, Value::String(text))
            }
            Some(b'-' | b'0'..=b'9') => self.number(start),
            _ => self.word(start),
        }
    }

    fn node(&self, start: usize, value: Value) -> Node {
        Node { span: Span::new(start, self.unclosed_end.unwrap_or(self.at)), value }
    }

    fn nested(&mut self, start: usize, read: fn(&mut Self, usize) -> Node) -> Node {
        if self.depth == MAX_DEPTH {
            self.at = self.text.len();
            self.fault(
                start,
                start + 1,
                format!("nested more than {MAX_DEPTH} levels deep"),
                Some("the rest of the file was not read"),
            );
            return self.broken(start);
        }
        self.depth += 1;
        let node = read(self, start);
        self.depth -= 1;
        node
    }

    fn array(&mut self, start: usize) -> Node {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            match self.next_item(start, b']', "array", items.is_empty()) {
                Next::End => return self.node(start, Value::Array(items)),
                Next::Item => items.push(self.value()),
            }
        }
    }

    fn object(&mut self, start: usize) -> Node {
        self.at += 1;
        let mut members = Vec::new();
        loop {
            match self.next_item(start, b'}', "object", members.is_empty()) {
                Next::End => return self.node(start, Value::Object(members)),
                Next::Item => members.extend(self.member()),
            }
        }
    }

    /// Parses a member; `None` if there is no key, and the text was skipped.
    fn member(&mut self) -> Option<Member> {
        let start = self.at;
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        let key = match self.peek() {
            Some(b'"' | b'\'') => self.string(),
            _ if !self.text[start..].starts_with(is_word) => {
                if self.no_key != Some(start) {
                    self.fault(
                        start,
                        start + self.text[start..].chars().next().map_or(0, char::len_utf8),
                        "expected a key in double quotes",
                        None,
                    );
                    self.derailed = true;
                }
                match self.peek() {
                    Some(b'{' | b'[') => drop(self.value()),
                    _ => self.at = self.word_end(),
                }
                self.space();
                self.no_key = Some(self.at);
                return None;
            }
            _ => {
                let end = self.word_end();
                let word = self.text[start..end].to_owned();
                self.at = end;
                self.fault(start, end, "expected a key in double quotes", None);
                let rest = self.text[end..].trim_start_matches([' ', '\t', '\r', '\n']);
                if rest.starts_with(':') {
                    self.safe_fix("put the key in quotes", start, end, &json_string(&word));
                } else if rest.starts_with('"') && rest[1..].trim_start_matches([' ', '\t']).starts_with(':')
                {
                    // Only the opening quote is missing.
                    self.guess("add `\"` before it", start, start, "\"");
                    self.at = self.text.len() - rest.len() + 1;
                } else {
                    self.guess("put the key in quotes", start, end, &json_string(&word));
                }
                word
            }
        };
        let key_span = Span::new(start, self.at);
        self.space();
        let value = if self.peek() == Some(b':') {
            self.at += 1;
            let colon = self.at;
            self.space();
            if matches!(self.peek(), None | Some(b',' | b'}' | b']')) || self.is_key() {
                self.fault(key_span.start, colon, "missing value for this key", None);
                self.comma_reported = self.is_key();
                self.derailed = true;
                self.broken(self.at)
            } else {
                self.value()
            }
        } else {
            self.fault(key_span.start, key_span.end, "expected `:` and a value after this key", None);
            if matches!(self.peek(), None | Some(b',' | b'}' | b']')) || self.is_key() {
                self.comma_reported = self.is_key();
                self.derailed = true;
                self.broken(self.at)
            } else {
                self.guess("add `:`", key_span.end, key_span.end, ":");
                self.value()
            }
        };
        Some(Member { key, key_span, value })
    }

    /// Whether a string followed by a colon starts here, which must be a key.
    fn is_key(&self) -> bool {
        let Some(rest) = self.text[self.at..].strip_prefix('"') else { return false };
        let mut escaped = false;
        // Keys are shorter than this limit.
        for (at, byte) in rest.bytes().enumerate().take(200) {
            match byte {
                b'\n' => return false,
                b'"' if !escaped => {
                    return rest[at + 1..].trim_start_matches([' ', '\t', '\r', '\n']).starts_with(':');
                }
                _ => escaped = byte == b'\\' && !escaped,
            }
        }
        false
    }

    /// Advances to the next item of an array or object, or past its end.
    fn next_item(&mut self, start: usize, close: u8, what: &str, first: bool) -> Next {
        let item_end = self.unclosed_end.take().unwrap_or(self.at);
        self.space();
        let mut comma = None;
        while self.peek() == Some(b',') {
            if first || comma.is_some() {
                self.fault(self.at, self.at + 1, "unexpected comma", None);
                self.safe_fix("remove the comma", self.at, self.at + 1, "");
            }
            comma = Some(self.at);
            self.at += 1;
            self.space();
        }
        let closing = match self.peek() {
            None => {
                let end = format!("unclosed {what}");
                self.fault(start, start + 1, end, Some(if close == b']' { "add `]`" } else { "add `}`" }));
                let whole = self.text.trim_end().len().max(start + 1);
                if !self.open_end {
                    self.guess("close it at the end", whole, whole, &(close as char).to_string());
                }
                return Next::End;
            }
            Some(byte) if byte == close => {
                self.at += 1;
                true
            }
            // A bracket of the other kind probably closes the outer container, and the bracket of this one is missing.
            Some(b'}' | b']') if self.depth > 1 => {
                let end = format!("expected `{}` to close the {what}", close as char);
                self.fault(self.at, self.at + 1, end, None);
                self.guess("close it here", self.at, self.at, &(close as char).to_string());
                true
            }
            Some(b'}' | b']') => {
                let end = format!("expected `{}` to close the {what}", close as char);
                self.fault(self.at, self.at + 1, end, None);
                self.unsafe_fix(
                    "write the other bracket",
                    self.at,
                    self.at + 1,
                    &(close as char).to_string(),
                );
                self.at += 1;
                true
            }
            // If something starts that cannot be inside this container, its closing bracket is missing.
            Some(byte) if self.depth > 1 && if close == b']' { self.is_key() } else { byte == b'{' } => {
                let end = format!("expected `{}` to close the {what}", close as char);
                self.fault(self.at, self.at + 1, end, None);
                self.guess("close it", item_end, item_end, &(close as char).to_string());
                self.unclosed_end = Some(item_end);
                self.comma_reported = comma.is_some();
                return Next::End;
            }
            Some(_) => false,
        };
        if closing {
            if let (Some(at), false) = (comma, first) {
                self.fault(at, at + 1, "trailing comma after the last item", Some("remove it"));
                self.safe_fix("remove the comma", at, at + 1, "");
            }
            return Next::End;
        }
        if !first
            && comma.is_none()
            && !std::mem::take(&mut self.comma_reported)
            && self.no_key != Some(self.at)
        {
            self.fault(item_end, item_end, "expected `,` before the next item", None);
            if matches!(self.peek(), Some(b'"' | b'{' | b'[')) {
                self.safe_fix("add `,`", item_end, item_end, ",");
            } else {
                // It is more likely that a quote is missing somewhere.
                self.derailed = true;
            }
        }
        Next::Item
    }

    fn word_end(&self) -> usize {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-' | '$')))
            .unwrap_or(rest.len());
        // At least one character, so that the parser always advances.
        self.at + end.max(rest.chars().next().map_or(0, char::len_utf8))
    }

    /// The end of a string without an opening quote, such as `kvm.img"`. Otherwise, all following strings would be
    /// misinterpreted.
    fn end_of_half_quoted(&self) -> Option<usize> {
        let rest = &self.text[self.at..];
        let quote = rest.find(['"', ',', ':', '{', '}', '[', ']', '\n', '\''])?;
        let behind = rest[quote..].strip_prefix('"')?.trim_start_matches([' ', '\t', '\r', '\n']);
        let ends = behind.is_empty() || behind.starts_with([',', '}', ']']);
        (ends && quote > 0 && !rest[..quote].contains('\\')).then_some(self.at + quote + 1)
    }

    fn number(&mut self, start: usize) -> Node {
        self.at = self.word_end();
        let text = &self.text[start..self.at];
        // serde_json checks the syntax of the number, and accepts numbers of any size.
        if text.parse::<serde_json::Number>().is_ok() {
            return self.node(start, Value::Number(text.to_owned()));
        }
        self.fault(
            start,
            self.at,
            "invalid number",
            Some("put text in double quotes; numbers have no leading zeros, plus signs or units"),
        );
        let text = json_string(&self.text[start..self.at]);
        self.guess("put it in quotes", start, self.at, &text);
        self.broken(start)
    }

    fn word(&mut self, start: usize) -> Node {
        self.at = self.word_end();
        let word = &self.text[start..self.at];
        let meant = match word {
            "true" => return self.node(start, Value::Bool(true)),
            "false" => return self.node(start, Value::Bool(false)),
            "null" => return self.node(start, Value::Null),
            "True" | "TRUE" => Some(("write `true`", Value::Bool(true))),
            "False" | "FALSE" => Some(("write `false`", Value::Bool(false))),
            "None" | "NULL" => Some(("write `null`", Value::Null)),
            _ => None,
        };
        // The message does not contain the word, because it may be a password without quotes.
        let message = "expected a JSON value";
        match meant {
            Some((help, value)) => {
                self.fault(start, self.at, message, Some(help));
                self.safe_fix(help, start, self.at, help.trim_start_matches("write ").trim_matches('`'));
                self.node(start, value)
            }
            None => {
                self.fault(start, self.at, message, Some("put text in double quotes"));
                let text = json_string(&self.text[start..self.at]);
                self.guess("put it in quotes", start, self.at, &text);
                self.broken(start)
            }
        }
    }
}

enum Next {
    Item,
    End,
}

#[cfg(test)]
mod tests;
