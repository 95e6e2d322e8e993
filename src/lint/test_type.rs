//! Checks the definition of an image type (`type.json`) with its JSON Schema.

use super::finding::{Findings, opening};
use super::rules::SCHEMA;
use super::schema::{locate, narrow, words};
use crate::template::{Node, Span, Value, nearest};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use std::sync::LazyLock;

/// `schema/ister-type.schema.json`, JSON Schema 2020-12.
pub const TYPE_SCHEMA_TEXT: &str = include_str!("../../schema/ister-type.schema.json");

static TYPE_SCHEMA: LazyLock<serde_json::Value> =
    LazyLock::new(|| serde_json::from_str(TYPE_SCHEMA_TEXT).expect("the embedded schema is valid"));

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    jsonschema::draft202012::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(&TYPE_SCHEMA)
        .expect("the embedded schema is valid")
});

/// Whether a file defines how an image type is tested. Templates have no `boots`.
pub fn is_type_definition(node: &Node) -> bool {
    let Value::Object(members) = &node.value else { return false };
    let has = |key: &str| members.iter().any(|member| member.key == key);
    has("boots") && !has("PartitionLayout") && !has("DestinationType") && !has("Bundles")
}

pub(super) fn check(node: &Node, found: &mut Findings) {
    if node.is_broken() {
        return;
    }
    found.set_rule(&SCHEMA);
    for error in VALIDATOR.iter_errors(&node.to_plain()) {
        let at = locate(node, error.instance_path().as_str());
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    unknown_key(at, key, error.schema_path().as_str(), found);
                }
            }
            kind => {
                found
                    .report(narrow(at), message(kind))
                    .help("`ister schema type` prints the schema; docs/nightly.md describes it");
            }
        }
    }
}

fn message(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Type { kind: TypeKind::Single(expected) } => {
            format!("expected a value of type {expected}")
        }
        ValidationErrorKind::Enum { options } => {
            let names = options.as_array().into_iter().flatten().map(ToString::to_string);
            format!("expected one of {}", names.collect::<Vec<_>>().join(", "))
        }
        other => words(other),
    }
}

/// Reports a key that the object at `schema_path` does not have.
fn unknown_key(object: &Node, key: &str, schema_path: &str, found: &mut Findings) {
    let parent = schema_path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let known: Vec<&str> = TYPE_SCHEMA
        .pointer(&format!("{parent}/properties"))
        .and_then(|properties| properties.as_object())
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let added = found.report(key_span(object, key), format!("unknown key `{}`", key.escape_debug()));
    added.help(match nearest(key, &known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known keys are {}", known.join(", ")),
    });
}

fn key_span(object: &Node, key: &str) -> Span {
    match &object.value {
        Value::Object(members) => {
            let member = members.iter().find(|member| member.key == key);
            member.map_or(opening(object.span), |member| member.key_span)
        }
        _ => opening(object.span),
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::{Files, lint};
    use crate::plan::bundle;
    use crate::template::SourceText;

    fn findings(text: &str) -> Vec<String> {
        let source = SourceText::new("type.json", text);
        let linted = lint(&source, &bundle::builtin(), |_| Files::default());
        let shown = linted.findings.iter().map(|finding| {
            let at = source.position(finding.place.start);
            let help = finding.help.clone().unwrap_or_default();
            format!("{}:{}: {}: {}; {help}", at.line, at.column, finding.rule, finding.message)
        });
        shown.collect()
    }

    #[test]
    fn definitions_of_types_are_checked_by_their_schema() {
        assert_eq!(findings(include_str!("../../vm-tests/kvm/type.json")), [""; 0]);
        assert_eq!(findings(include_str!("../../vm-tests/web-server/type.json")), [""; 0]);
        let said = findings(
            "{\"boots\": [\n{\"file\": \"a.img\", \"shh\": true},\n{\"file\": 1},\n{\"hardware\": {\"disk\": \"idee\"}}]}",
        );
        assert!(said[0].starts_with("2:19: schema: unknown key `shh`; did you mean `ssh`?"), "{said:?}");
        assert!(
            said.iter().any(|line| line.starts_with("3:10: schema: expected a value of type string")),
            "{said:?}"
        );
        assert!(said.iter().any(|line| line.starts_with("4:1: schema: `file` is missing")), "{said:?}");
        assert!(said.iter().any(|line| line.starts_with("4:23: schema: ")), "{said:?}");
        assert!(findings("{\"boots\": [}").iter().any(|line| line.contains("syntax")));
    }
}
