//! The published JSON Schema as the last judge: whatever it refuses and no rule has named is a finding too.

use super::finding::{Findings, opening};
use super::rules::SCHEMA;
use crate::template::{Node, Span, Value};
use jsonschema::error::ValidationErrorKind;
use std::sync::LazyLock;

/// `schema/ister-template.schema.json`, JSON Schema 2020-12.
pub const SCHEMA_TEXT: &str = include_str!("../../schema/ister-template.schema.json");

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(SCHEMA_TEXT).expect("the schema is tested");
    jsonschema::draft202012::new(&schema).expect("the schema is tested")
});

pub fn check(node: &Node, found: &mut Findings) {
    // What could not be read has its finding, and no value to judge.
    if node.is_broken() {
        return;
    }
    found.set_rule(&SCHEMA);
    let plain = node.to_plain();
    for error in VALIDATOR.iter_errors(&plain) {
        // Unknown keys have rules of their own, which know nearest names.
        if matches!(error.kind(), ValidationErrorKind::AdditionalProperties { .. }) {
            continue;
        }
        let at = locate(node, error.instance_path().as_str());
        let spoken = found.list().iter().any(|f| match at.value {
            // Of an object or array only what is said about the whole of it.
            Value::Object(_) | Value::Array(_) => f.span.start == at.span.start,
            _ => at.span.contains(f.span) || f.span.contains(at.span) && f.span != node.span,
        });
        if spoken {
            continue;
        }
        found.report(narrow(at), error.to_string());
    }
}

/// The node that a JSON Pointer (RFC 6901) names.
fn locate<'n>(node: &'n Node, pointer: &str) -> &'n Node {
    let mut at = node;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        at = match &at.value {
            Value::Object(members) => match members.iter().rev().find(|m| m.key == part) {
                Some(member) => &member.value,
                None => return at,
            },
            Value::Array(items) => match part.parse::<usize>().ok().and_then(|index| items.get(index)) {
                Some(item) => item,
                None => return at,
            },
            _ => return at,
        };
    }
    at
}

fn narrow(node: &Node) -> Span {
    match node.value {
        Value::Object(_) | Value::Array(_) => opening(node.span),
        _ => node.span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_a_valid_2020_12_schema() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA_TEXT).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        LazyLock::force(&VALIDATOR);
    }
}
