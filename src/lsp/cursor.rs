//! The position of the cursor in the structure of a template.

use crate::template::{Member, Node, Value};

/// Keys and item indices, outermost first.
pub(super) type Path = Vec<String>;

pub(super) struct Cursor<'n> {
    /// The path of [`at`](Self::at), or of the object that contains the key.
    pub path: Path,
    pub at: At<'n>,
    /// The entry of a section, or the user, that contains the cursor.
    pub entry: Option<&'n Node>,
}

pub(super) enum At<'n> {
    /// On the key of a member.
    Key(&'n Member),
    /// On a scalar value.
    Value(&'n Node),
    /// Between the members of an object.
    Object(&'n Node),
    /// Between the items of an array.
    Array,
}

impl<'n> Cursor<'n> {
    pub(super) fn find(root: &'n Node, text: &str, offset: usize) -> Cursor<'n> {
        let mut cursor = Cursor { path: Vec::new(), at: At::Value(root), entry: None };
        cursor.descend(root, text, offset);
        cursor
    }

    fn descend(&mut self, node: &'n Node, text: &str, offset: usize) {
        if self.path.len() == 2 {
            self.entry = Some(node);
        }
        match &node.value {
            Value::Object(members) => {
                for member in members {
                    if (member.key_span.start..=member.key_span.end).contains(&offset) {
                        self.at = At::Key(member);
                        return;
                    }
                    if is_inside(&member.value, text, offset) {
                        self.path.push(member.key.clone());
                        return self.descend(&member.value, text, offset);
                    }
                }
                self.at = At::Object(node);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    if is_inside(item, text, offset) {
                        self.path.push(index.to_string());
                        return self.descend(item, text, offset);
                    }
                }
                self.at = At::Array;
            }
            _ => self.at = At::Value(node),
        }
    }

    pub(super) fn path(&self) -> impl Iterator<Item = &str> {
        self.path.iter().map(String::as_str)
    }
}

/// Whether the cursor is in a node. The end of a word belongs to it, but the position after a closing bracket does not.
fn is_inside(node: &Node, text: &str, offset: usize) -> bool {
    let span = node.span;
    match &node.value {
        Value::Object(_) | Value::Array(_) => {
            let closed = text[span.start..span.end].ends_with(['}', ']']);
            span.start < offset && if closed { offset < span.end } else { offset <= span.end }
        }
        // Missing values have an empty span.
        _ => span.start < span.end && (span.start..=span.end).contains(&offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::read_json;

    fn at(text: &str) -> String {
        let offset = text.find('|').unwrap();
        let text = text.replacen('|', "", 1);
        let (root, _) = read_json(&text);
        let cursor = Cursor::find(&root, &text, offset);
        let what = match cursor.at {
            At::Key(member) => format!("key {}", member.key),
            At::Value(node) => node.kind().to_owned(),
            At::Object(_) => "object".to_owned(),
            At::Array => "array".to_owned(),
        };
        format!("/{}: {what}", cursor.path.join("/"))
    }

    #[test]
    fn every_position_is_found() {
        assert_eq!(at(r#"{"a|": 1}"#), "/: key a");
        assert_eq!(at(r#"{"a": [{"b": "x|"}]}"#), "/a/0/b: a string");
        assert_eq!(at(r#"{"a": [{"b": "x", |}]}"#), "/a/0: object");
        assert_eq!(at(r#"{"a": [1, |]}"#), "/a: array");
        assert_eq!(at(r#"{"a": |}"#), "/: object");
        assert_eq!(at(r#"{"a": [{"b|"#), "/a/0: key b");
        assert_eq!(at("|"), "/: an invalid value");
    }
}
