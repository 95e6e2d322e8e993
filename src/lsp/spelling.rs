//! Workarounds for messages of editors that do not conform to the protocol.

use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Maps URIs that conform to RFC 3986 to the client's spelling. Editors do not escape `[`, `|`, spaces, non-ASCII
/// letters or `%`, and only recognize a document by its original spelling.
#[derive(Debug, Default)]
pub(super) struct Spellings(BTreeMap<String, String>);

impl Spellings {
    /// Escapes the URIs in a message, and stores their original spelling. The last spelling counts.
    pub(super) fn take_in(&mut self, message: &mut Value) {
        match message {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) if is_uri(key) => {
                            let valid = escaped(text);
                            self.0.insert(valid.clone(), std::mem::replace(text, valid));
                        }
                        _ => self.take_in(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.take_in(value)),
            _ => {}
        }
    }

    /// Restores the client's spelling of the URIs in a message, including object keys.
    pub(super) fn give_back(&self, message: &mut Value) {
        match message {
            Value::Object(fields) => {
                let keys: Vec<String> = fields
                    .keys()
                    .filter(|key| self.0.get(*key).is_some_and(|own| own != *key))
                    .cloned()
                    .collect();
                for key in keys {
                    if let Some(value) = fields.remove(&key) {
                        fields.insert(self.0[&key].clone(), value);
                    }
                }
                for (key, value) in fields {
                    match value {
                        Value::String(text) if is_uri(key) => {
                            if let Some(own) = self.0.get(text.as_str()) {
                                text.clone_from(own);
                            }
                        }
                        _ => self.give_back(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.give_back(value)),
            _ => {}
        }
    }
}

/// Source: Language Server Protocol 3.17, every field of type `URI` or `DocumentUri`.
fn is_uri(key: &str) -> bool {
    key == "uri" || key.ends_with("Uri")
}

/// Percent-encodes the characters that RFC 3986 does not allow.
fn escaped(uri: &str) -> String {
    let bytes = uri.as_bytes();
    let mut out = String::with_capacity(uri.len());
    for (at, byte) in bytes.iter().enumerate() {
        // A URI has only one fragment, so a second `#` is part of a name.
        let is_second = *byte == b'#' && bytes[..at].contains(&b'#');
        let is_plain = !is_second && (byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=".contains(byte));
        let begins_code = *byte == b'%'
            && bytes.get(at + 1..at + 3).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit));
        if is_plain || begins_code {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Replaces lone surrogates in the strings of a JSON text with U+FFFD.
pub(super) fn fixed(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let half = |at: usize| -> Option<u16> {
        let code = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(code, 16).ok().filter(|unit| (0xd800..0xe000).contains(unit))
    };
    let mut lone = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        at += match half(at) {
            _ if bytes[at] != b'\\' => 1,
            None => 2,
            Some(high) if high < 0xdc00 && half(at + 6).is_some_and(|low| low >= 0xdc00) => 12,
            Some(_) => {
                lone.push(at);
                6
            }
        };
    }
    if lone.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut fixed = text.to_owned();
    for at in lone {
        fixed.replace_range(at..at + 6, "\\ufffd");
    }
    Cow::Owned(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn uris_are_sent_back_in_their_original_spelling() {
        for uri in [
            "file:///a/[x]/t.json",
            "file:///a b/t.json",
            "file:///c|/t.json",
            "file:///ä/t.json",
            "file:///100%/t.json",
            "file:///a#b#c/t.json",
            "file:///a/%5Bx%5D/t.json",
            "untitled:Untitled-1",
        ] {
            let mut spellings = Spellings::default();
            let mut message = json!({"params": {"textDocument": {"uri": uri, "text": "uri"}}});
            let own = message.clone();
            spellings.take_in(&mut message);
            let valid = message["params"]["textDocument"]["uri"].as_str().unwrap();
            assert!(valid.parse::<lsp_types::Uri>().is_ok(), "{valid}");
            let mut answer = json!({"changes": {valid: [1]}, "uri": valid});
            spellings.give_back(&mut message);
            assert_eq!(message, own);
            spellings.give_back(&mut answer);
            assert_eq!(answer, json!({"changes": {uri: [1]}, "uri": uri}));
        }
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        let check = |text: &str, expect: &str| assert_eq!(fixed(text), expect);
        check(r#""\ud83e\udd80 \u00e4""#, r#""\ud83e\udd80 \u00e4""#);
        check(r#""\ud83e""#, r#""\ufffd""#);
        check(r#""\udd80\ud83e""#, r#""\ufffd\ufffd""#);
        check(r#""\ud83e\ud83e\udd80""#, r#""\ufffd\ud83e\udd80""#);
        check(r#""\\ud83e""#, r#""\\ud83e""#);
        check("ä\\", "ä\\");
    }

    proptest! {
        #[test]
        fn fixed_text_is_valid_json(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let text: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let text = format!("\"{text}\"");
            prop_assert!(serde_json::from_str::<String>(&fixed(&text)).is_ok());
        }

        #[test]
        fn escaped_text_is_a_valid_uri(path in "[^/\\x00]{0,20}") {
            let uri = escaped(&format!("file:///{path}"));
            prop_assert!(uri.parse::<lsp_types::Uri>().is_ok(), "{}", uri);
        }
    }
}
