//! A JSON tree with the place of each value.

use super::text::Span;

/// A value and its place, including brackets and quotes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub span: Span,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// The number as text, so that no digit is lost.
    Number(String),
    String(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
    /// An invalid value; a [`JsonSyntaxError`] has the reason.
    Broken,
}

/// A member of an object, in the order of the text. Keys may be duplicate.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// An empty document.
    pub fn empty() -> Node {
        Node { span: Span::default(), value: Value::Null }
    }

    /// The kind of value for messages: "a string", "an object".
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(text) if text.contains(['.', 'e', 'E']) => "a number with a fraction",
            Value::Number(_) => "an integer",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
            Value::Broken => "an invalid value",
        }
    }

    /// The plain value, for JSON Schema. The last of duplicate keys counts, as in Python.
    pub fn to_plain(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Broken => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(text) => {
                text.parse::<serde_json::Number>().map_or(serde_json::Value::Null, serde_json::Value::Number)
            }
            Value::String(text) => text.clone().into(),
            Value::Array(items) => items.iter().map(Node::to_plain).collect(),
            Value::Object(members) => serde_json::Value::Object(
                members.iter().map(|m| (m.key.clone(), m.value.to_plain())).collect(),
            ),
        }
    }

    /// Whether the value or any value in it is invalid.
    pub fn is_broken(&self) -> bool {
        match &self.value {
            Value::Broken => true,
            Value::Array(items) => items.iter().any(Node::is_broken),
            Value::Object(members) => members.iter().any(|m| m.value.is_broken()),
            _ => false,
        }
    }
}
