//! A template's text as it may be shown: what is secret is covered.

use super::node::{Node, Value};
use super::text::{SourceText, Span};

/// The text with passwords, passphrases and the user names and passwords of URLs covered. Every offset and every column
/// stays what it was. It goes by the keys, so that a misspelt one or a template that is half broken shows nothing either.
pub fn without_secrets(source: &SourceText, root: &Node) -> SourceText {
    let mut secrets = Vec::new();
    collect(root, source.text(), false, &mut secrets);
    if secrets.is_empty() {
        return source.clone();
    }
    let text = source.text();
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for span in secrets {
        shown.push_str(&text[at..span.start]);
        // As many bytes and as many characters as before.
        shown.extend(text[span.start..span.end].chars().map(|c| match c.len_utf8() {
            1 => '*',
            2 => '×',
            3 => '•',
            _ => '🞄',
        }));
        at = span.end;
    }
    shown.push_str(&text[at..]);
    source.with_text(shown)
}

fn collect(node: &Node, text: &str, secret: bool, out: &mut Vec<Span>) {
    match &node.value {
        Value::Object(members) => {
            for member in members {
                let key = member.key.to_lowercase();
                let names = ["pass", "pasw", "secret", "token"].iter().any(|name| key.contains(name));
                collect(&member.value, text, names, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, text, secret, out)),
        Value::String(_) if secret => out.push(inside(node.span, text)),
        Value::String(_) => {
            // Source: RFC 3986, section 3.2.1.
            let raw = &text[node.span.start..node.span.end];
            let start = raw.find("//").map_or(1, |slashes| slashes + 2);
            if let Some(end) = raw.rfind('@').filter(|end| *end > start && raw[..*end].contains(':')) {
                // A key's comment, `ada@example`, is no secret: it has a space before it.
                if !raw[start..end].contains(' ') {
                    out.push(Span::new(node.span.start + start, node.span.start + end));
                }
            }
        }
        // Numbers and broken words where a secret should be are one.
        Value::Number(_) | Value::Broken if secret => out.push(node.span),
        _ => {}
    }
}

/// A string without its quotes.
fn inside(span: Span, text: &str) -> Span {
    let raw = &text[span.start..span.end];
    let open = usize::from(raw.starts_with(['"', '\'']));
    let close = usize::from(raw.len() > open && raw.ends_with(['"', '\'']));
    Span::new(span.start + open, span.end - close)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::read_json;

    fn shown(text: &str) -> String {
        without_secrets(&SourceText::new("t.json", text), &read_json(text).0).text().to_owned()
    }

    #[test]
    fn what_is_secret_is_covered_and_nothing_else_moves() {
        for (text, expect) in [
            (r#"{"password": "sécret", "b": 1}"#, r#"{"password": "*×****", "b": 1}"#),
            (r#"{"passphrase": {"env": "NAME"}}"#, r#"{"passphrase": {"env": "NAME"}}"#),
            (r#"{"pasword": "x'}"#, r#"{"pasword": "***"#),
            (r#"{"Password": 1234}"#, r#"{"Password": ****}"#),
            (
                r#"{"HTTPProxy": "http://ada:pw@example.org"}"#,
                r#"{"HTTPProxy": "http://******@example.org"}"#,
            ),
            (r#"{"HTTPProxy": "ada:pw@example.org"}"#, r#"{"HTTPProxy": "******@example.org"}"#),
            (r#"{"key": "ssh-rsa AAAA ada@example"}"#, r#"{"key": "ssh-rsa AAAA ada@example"}"#),
        ] {
            assert!(shown(text).starts_with(expect), "{}", shown(text));
            assert_eq!(shown(text).len(), text.len());
            assert_eq!(shown(text).chars().count(), text.chars().count());
        }
    }
}
