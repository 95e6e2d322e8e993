//! `--set KEY=JSON`: overrides a top-level key of a template.

use super::json;
use super::node::Value;
use super::text::SourceText;

/// One `KEY=JSON`.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    key: String,
    json: String,
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum OverrideError {
    #[error("missing `=` in `{0}`; expected KEY=JSON, for example Version=34000")]
    NoEquals(String),
    #[error("invalid JSON value for `{key}`: {fault}{}", .hint.as_deref().map(|h| format!("; did you mean {h}?")).unwrap_or_default())]
    NotJson { key: String, fault: String, hint: Option<String> },
}

impl std::str::FromStr for Override {
    type Err = OverrideError;

    fn from_str(text: &str) -> Result<Self, OverrideError> {
        let (key, json) = text.split_once('=').ok_or_else(|| OverrideError::NoEquals(text.to_owned()))?;
        let (_, faults) = json::read(json);
        match faults.into_iter().next() {
            None => Ok(Override { key: key.to_owned(), json: json.trim().to_owned() }),
            Some(fault) => Err(OverrideError::NotJson {
                key: key.to_owned(),
                fault: fault.message,
                hint: json
                    .chars()
                    .next()
                    .is_some_and(char::is_alphabetic)
                    .then(|| format!("{key}='\"{json}\"'")),
            }),
        }
    }
}

impl Override {
    /// Sets a key to a string, for options that correspond to a key.
    pub fn string(key: &str, value: &str) -> Self {
        Override { key: key.to_owned(), json: serde_json::Value::from(value).to_string() }
    }

    /// Sets a key to a value.
    pub fn json(key: &str, value: &serde_json::Value) -> Self {
        Override { key: key.to_owned(), json: value.to_string() }
    }

    /// Replaces the value of the key, or adds the key at the beginning.
    ///
    /// The text itself is changed, so that findings about the new value have a place. Line numbers are preserved. A
    /// text that is not an object is returned unchanged, and reported by the linter.
    pub fn apply(&self, source: &SourceText) -> SourceText {
        let text = source.text();
        let (node, _) = json::read(text);
        let Value::Object(members) = &node.value else {
            return source.clone();
        };
        let mut changed = text.to_owned();
        match members.iter().rev().find(|m| m.key == self.key) {
            Some(member) => {
                let span = member.value.span;
                let lines = |s: &str| s.matches('\n').count();
                let lost = lines(&text[span.start..span.end]).saturating_sub(lines(&self.json));
                changed.replace_range(span.start..span.end, &(self.json.clone() + &"\n".repeat(lost)));
            }
            None => {
                let key = serde_json::Value::from(self.key.as_str());
                let comma = if members.is_empty() { "" } else { "," };
                changed.insert_str(node.span.start + 1, &format!("{key}: {}{comma}", self.json));
            }
        }
        SourceText::new(source.name(), changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str, change: &str) -> String {
        let source = SourceText::new("t.json", text);
        change.parse::<Override>().unwrap().apply(&source).text().to_owned()
    }

    #[test]
    fn keys_are_replaced_and_line_numbers_preserved() {
        assert_eq!(set(r#"{"a": 1, "b": 2}"#, "a=\"x\""), r#"{"a": "x", "b": 2}"#);
        assert_eq!(set("{\"a\": [\n1\n], \"b\": 2}", "a=[]"), "{\"a\": []\n\n, \"b\": 2}");
    }

    #[test]
    fn a_new_key_is_added() {
        assert_eq!(set(r#"{"a": 1}"#, "b=[1]"), r#"{"b": [1],"a": 1}"#);
        assert_eq!(set("{}", "b=1"), r#"{"b": 1}"#);
    }

    #[test]
    fn a_bare_word_gets_a_hint() {
        let error = "Version=bookworm".parse::<Override>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid JSON value for `Version`: expected a JSON value; did you mean Version='\"bookworm\"'?"
        );
        assert_eq!("x".parse::<Override>(), Err(OverrideError::NoEquals("x".into())));
    }
}
