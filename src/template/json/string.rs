//! Strings: quotes, escapes and recovery from unterminated strings.

use super::reader::Reader;
use crate::template::edit::json_string;

impl Reader<'_> {
    /// Parses a string in double quotes, or in single quotes with an error. An unterminated string ends at the end of
    /// the line.
    pub(super) fn string(&mut self) -> String {
        let start = self.at;
        let quote = self.text.as_bytes()[start];
        if quote != b'\'' {
            return self.quoted(start, quote);
        }
        self.fault(
            start,
            start + 1,
            "expected double quotes around the string",
            Some("write \" instead of '"),
        );
        let faults = self.faults.len();
        let text = self.quoted(start, quote);
        // If there is an error inside the string, that is fixed first.
        if self.faults.len() == faults {
            self.safe_fix("write double quotes", start, self.at, &json_string(&text));
        }
        text
    }

    fn quoted(&mut self, start: usize, quote: u8) -> String {
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(c) = rest.chars().next() else {
                self.fault(start, self.at, "unterminated string", Some("add \""));
                self.guess("close the string", self.at, self.at, &(quote as char).to_string());
                self.open_end = true;
                return out;
            };
            match c {
                '\n' => {
                    self.fault(start, self.at, "unterminated string at the end of the line", Some("add \""));
                    let end =
                        self.text[..self.at].trim_end_matches([' ', '\t', '\r', ',']).len().max(start + 1);
                    self.guess("close the string", end, end, &(quote as char).to_string());
                    return out;
                }
                c if c as u32 == u32::from(quote) => {
                    self.at += 1;
                    return out;
                }
                '\\' => out.push(self.escape()),
                c if (c as u32) < 0x20 => {
                    let code = format!("unescaped control character U+{:04X} in a string", c as u32);
                    self.fault(self.at, self.at + 1, code, Some("use an escape such as \\t or \\u0009"));
                    let escape = json_string(&c.to_string());
                    self.safe_fix("write an escape", self.at, self.at + 1, escape.trim_matches('"'));
                    out.push(c);
                    self.at += 1;
                }
                c => {
                    out.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self) -> char {
        let start = self.at;
        self.at += 1;
        let c = self.text[self.at..].chars().next();
        let plain = match c {
            Some('"') => '"',
            Some('\\') => '\\',
            Some('/') => '/',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                self.at += 1;
                return self.unicode_escape(start);
            }
            // The end of the line or text is reported as an unterminated string.
            None | Some('\n') => return '\\',
            Some(other) => {
                self.at += other.len_utf8();
                self.fault(
                    start,
                    self.at,
                    format!("invalid escape `\\{other}`"),
                    Some("write a literal backslash as \\\\"),
                );
                self.unsafe_fix("write two backslashes", start, start + 1, "\\\\");
                return other;
            }
        };
        self.at += 1;
        plain
    }

    fn unicode_escape(&mut self, start: usize) -> char {
        let unit = |reader: &mut Self| {
            let digits = reader.text.get(reader.at..reader.at + 4)?;
            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            reader.at += 4;
            u32::from_str_radix(digits, 16).ok()
        };
        let code = match unit(self) {
            Some(high @ 0xd800..=0xdbff) if self.text[self.at..].starts_with("\\u") => {
                self.at += 2;
                match unit(self) {
                    Some(low @ 0xdc00..=0xdfff) => Some(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)),
                    _ => None,
                }
            }
            code => code,
        };
        code.and_then(char::from_u32).unwrap_or_else(|| {
            self.fault(
                start,
                self.at,
                "invalid Unicode escape: expected four hexadecimal digits after `\\u`",
                None,
            );
            char::REPLACEMENT_CHARACTER
        })
    }
}
