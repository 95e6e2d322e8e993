//! Masks the secrets in the text of a template, so that it can be shown.

use super::node::{Node, Value};
use super::text::{SourceText, Span};

/// Masks passwords, passphrases, and the user names and passwords of URLs. All offsets and columns stay the same.
/// Secrets are detected by their keys, with tolerance for misspelt keys and invalid templates.
pub fn mask_secrets(source: &SourceText, root: &Node) -> SourceText {
    let secrets = secret_places(source.text(), root);
    if secrets.is_empty() {
        return source.clone();
    }
    let text = source.text();
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for span in secrets {
        shown.push_str(&text[at..span.start]);
        // Preserve the number of bytes and characters.
        shown.extend(text[span.start..span.end].chars().map(|c| match c.len_utf8() {
            1 if c.is_ascii_whitespace() => c,
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

/// The spans of the secrets, in the order of the text.
pub fn secret_places(text: &str, root: &Node) -> Vec<Span> {
    let mut secrets = Vec::new();
    collect(root, text, Secrecy::No, &mut secrets);
    secrets.sort();
    let mut apart: Vec<Span> = Vec::with_capacity(secrets.len());
    for span in secrets {
        match apart.last_mut().filter(|last| span.start < last.end) {
            Some(last) => last.end = last.end.max(span.end),
            None => apart.push(span),
        }
    }
    apart
}

/// What is secret in a value, depending on the keys above it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    No,
    /// Everything.
    All,
    /// Strings, but not members of objects: `encryption`, `Users`.
    Text,
}

impl Secrecy {
    fn of(key: &str) -> Secrecy {
        let key = key.to_lowercase();
        let is_secret = ["pass", "pasw", "secret", "token"].iter().any(|name| key.contains(name));
        match key.as_str() {
            "pw" | "pwd" | "psk" => Secrecy::All,
            "encryption" | "users" => Secrecy::Text,
            _ if is_secret => Secrecy::All,
            _ => Secrecy::No,
        }
    }
}

fn collect(node: &Node, text: &str, secret: Secrecy, out: &mut Vec<Span>) {
    match &node.value {
        Value::Object(members) => {
            let mut after_secret = false;
            for member in members {
                // A key without a value after a secret may be the rest of the secret.
                if after_secret && member.value.value == Value::Broken {
                    out.push(inside(member.key_span, text));
                }
                // The source of a secret is not secret.
                let source = secret == Secrecy::All && ["file", "env"].contains(&member.key.as_str());
                let inner = match secret {
                    _ if source => Secrecy::No,
                    Secrecy::All => Secrecy::All,
                    _ => Secrecy::of(&member.key),
                };
                after_secret = inner == Secrecy::All;
                if secret == Secrecy::All && !source {
                    out.push(inside(member.key_span, text));
                }
                // If the value is invalid, mask everything up to the end of the line.
                if inner == Secrecy::All && member.value.value == Value::Broken {
                    let end = member.value.span.end.max(member.key_span.end);
                    let line = text[end..].find('\n').map_or(text.len(), |at| end + at);
                    out.push(Span::new(member.key_span.end, line));
                } else {
                    collect(&member.value, text, inner, out);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, text, secret, out)),
        Value::String(_) if secret != Secrecy::No => out.push(inside(node.span, text)),
        Value::String(_) => {
            let raw = &text[node.span.start..node.span.end];
            if raw.contains("PRIVATE KEY") {
                out.push(inside(node.span, text));
            } else if let Some(range) = userinfo(raw) {
                out.push(Span::new(node.span.start + range.start, node.span.start + range.end));
            }
        }
        // Numbers and invalid values in place of a secret are masked, too.
        Value::Number(_) | Value::Broken if secret != Secrecy::No => out.push(node.span),
        _ => {}
    }
}

/// The user name and password of a URL in a text. Source: RFC 3986, section 3.2.1.
fn userinfo(raw: &str) -> Option<std::ops::Range<usize>> {
    let start = raw.find("//").map_or(usize::from(raw.starts_with(['"', '\''])), |slashes| slashes + 2);
    let end = raw.rfind('@').filter(|end| *end > start && raw[..*end].contains(':'))?;
    // The comment of an ssh key, ` ada@example`, is not secret. It follows a space.
    (!raw[start..end].contains(' ')).then_some(start..end)
}

/// A text for a message, without the user name and password of a URL, and limited to 80 characters.
pub fn for_message(text: &str) -> String {
    let shown = match userinfo(text) {
        Some(range) => format!("{}…{}", &text[..range.start], &text[range.end..]),
        None => text.to_owned(),
    };
    let cut: String = shown.chars().take(80).collect();
    cut.escape_debug().to_string()
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
        mask_secrets(&SourceText::new("t.json", text), &read_json(text).0).text().to_owned()
    }

    #[test]
    fn no_part_of_a_secret_is_shown() {
        for text in [
            r#"{"password": S3cretPw}"#,
            r#"{"password": S3cretPw", "a": 1}"#,
            r#"{"password" = "S3cretPw"}"#,
            r#"{"password": "a" "S3cretPw"}"#,
            r#"{"password": 'S3cretPw'}"#,
            r#"{"passphrase": {"S3cretPw": 1}}"#,
            r#"{"key": "-----BEGIN PRIVATE KEY-----S3cretPw"}"#,
            r#"{"MirrorURL": "https://u:S3cretPw@h/"}"#,
        ] {
            assert!(!shown(text).contains("S3cret"), "{}", shown(text));
        }
    }

    #[test]
    fn secrets_are_masked_and_offsets_preserved() {
        for (text, expect) in [
            (r#"{"password": "sécret", "b": 1}"#, r#"{"password": "*×****", "b": 1}"#),
            (r#"{"passphrase": {"env": "NAME"}}"#, r#"{"passphrase": {"env": "NAME"}}"#),
            (r#"{"pasword": "x'}"#, r#"{"pasword": "***"#),
            (
                r#"{"password": {"value": "abc", "env": "N"}}"#,
                r#"{"password": {"*****": "***", "env": "N"}}"#,
            ),
            (r#"{"encryption": "abc"}"#, r#"{"encryption": "***"}"#),
            (r#"{"encryption": {"name": "abc"}}"#, r#"{"encryption": {"name": "abc"}}"#),
            (r#"{"Users": ["ada:pw"]}"#, r#"{"Users": ["******"]}"#),
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
