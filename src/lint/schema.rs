//! Validation against the published JSON Schema, for problems that no rule reports.

use super::finding::{Findings, Level, opening};
use super::rules::SCHEMA;
use crate::template::{Node, Span, Value, keys};
use jsonschema::error::ValidationErrorKind;
use std::sync::LazyLock;

static VALIDATOR: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    // The `regex` engine matches in linear time, also on hostile input. The schema's patterns need no lookaround.
    jsonschema::draft202012::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(&keys::SCHEMA)
        .expect("the embedded schema is valid")
});

/// Limit on the validation errors that are examined for one template.
const MOST: usize = 100;

/// Lists of objects whose required keys the rule `missing-key` checks.
const SECTIONS: [&str; 4] = ["PartitionLayout", "FilesystemTypes", "PartitionMountPoints", "Users"];

pub(super) fn check(node: &Node, found: &mut Findings) {
    // Values that could not be parsed already have a finding.
    if node.is_broken() {
        return;
    }
    found.set_rule(&SCHEMA);
    let plain = node.to_plain();
    // Most templates are valid, and `is_valid` is faster than collecting errors.
    if VALIDATOR.is_valid(&plain) {
        return;
    }
    for error in VALIDATOR.iter_errors(&plain).take(MOST) {
        // Unknown keys have rules of their own, which suggest the nearest name.
        if matches!(error.kind(), ValidationErrorKind::AdditionalProperties { .. }) {
            continue;
        }
        let at = locate(node, error.instance_path().as_str());
        let errors = || found.list().iter().filter(|f| f.level == Level::Error);
        let reported = match at.value {
            Value::Object(_) | Value::Array(_) if at.span == node.span => {
                errors().any(|f| f.place.start == at.span.start)
            }
            // An error inside the value explains why the whole value is invalid.
            Value::Object(_) | Value::Array(_) => errors().any(|f| at.span.contains(f.place)),
            _ => errors()
                .any(|f| at.span.contains(f.place) || f.place.contains(at.span) && f.place != node.span),
        };
        // `missing-key` decides about these objects. It accepts a key that is misspelt.
        let pointer = error.instance_path().as_str();
        let is_decided = matches!(error.kind(), ValidationErrorKind::Required { .. })
            && match pointer.split('/').collect::<Vec<_>>()[..] {
                [""] => true,
                ["", section, _] => SECTIONS.contains(&section),
                _ => false,
            };
        if reported || is_decided {
            continue;
        }
        // The message contains neither the value nor an unknown key, since either may be a secret.
        found
            .report(narrow(at), format!("{}: {}", place_of(pointer), words(error.kind())))
            .help(describe_at(error.instance_path().as_str()));
    }
}

/// The schema's documentation of a key, for findings and editors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyDoc {
    pub title: String,
    pub description: String,
    pub default: Option<serde_json::Value>,
    pub examples: Vec<serde_json::Value>,
    /// The allowed values, if the schema lists them.
    pub values: Vec<String>,
    /// The JSON type, such as "string" or "array", if the schema gives one.
    pub kind: String,
    /// The keys of an object, in the schema's order.
    pub keys: Vec<String>,
}

/// Looks up the documentation of the value at a path. Array items are `*` or a number.
pub fn describe<'p>(path: impl IntoIterator<Item = &'p str>) -> Option<KeyDoc> {
    let root = &*keys::SCHEMA;
    let mut at = vec![root];
    for step in path {
        let child = at.iter().find_map(|schema| {
            let key = schema.get("properties").and_then(|p| p.get(step));
            let other = || schema.get("additionalProperties").filter(|s| s.is_object());
            let is_index = step == "*" || step.bytes().all(|b| b.is_ascii_digit());
            key.or_else(|| if is_index { schema.get("items") } else { other() })
        })?;
        at = expand(root, child);
    }
    let first = |key: &str| at.iter().find_map(|schema| schema.get(key));
    let text = |key: &str| first(key).and_then(|t| t.as_str()).unwrap_or_default().to_owned();
    let list = |key: &str| first(key).and_then(|l| l.as_array()).cloned().unwrap_or_default();
    Some(KeyDoc {
        title: text("title"),
        description: text("description"),
        default: first("default").cloned(),
        examples: list("examples"),
        values: list("enum").iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
        kind: text("type"),
        keys: first("properties")
            .and_then(|p| p.as_object())
            .map(|p| p.keys().cloned().collect())
            .unwrap_or_default(),
    })
}

/// A schema followed by the target of its `$ref` and then its `anyOf` alternatives.
fn expand<'s>(root: &'s serde_json::Value, schema: &'s serde_json::Value) -> Vec<&'s serde_json::Value> {
    let mut all = vec![schema];
    if let Some(reference) = schema.get("$ref").and_then(|r| r.as_str()) {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        all.extend(target.into_iter().flat_map(|target| expand(root, target)));
    }
    let alternatives = schema.get("anyOf").and_then(|list| list.as_array());
    all.extend(alternatives.into_iter().flatten().flat_map(|schema| expand(root, schema)));
    all
}

/// A JSON Pointer's target, for messages.
fn place_of(pointer: &str) -> String {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    let is_index = |step: &str| step.bytes().all(|b| b.is_ascii_digit());
    match path.split_last() {
        None => "the template".to_owned(),
        Some((last, above)) if is_index(last) => {
            format!("an entry of {}", above.last().map_or("this array".to_owned(), |key| format!("`{key}`")))
        }
        Some((last, above)) => {
            let known =
                describe(above.iter().copied()).is_some_and(|doc| doc.keys.iter().any(|key| key == last));
            if known { format!("`{last}`") } else { "this value".to_owned() }
        }
    }
}

/// The problem without regular expressions or schema keywords. The key's description follows as help.
pub(super) fn words(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Pattern { .. } => "invalid format".to_owned(),
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::OneOfNotValid { .. } => {
            "matches none of the allowed forms".to_owned()
        }
        ValidationErrorKind::Required { property } => {
            format!("`{}` is missing", property.as_str().unwrap_or_default())
        }
        ValidationErrorKind::MinLength { .. } | ValidationErrorKind::MinItems { .. } => "empty".to_owned(),
        ValidationErrorKind::MaxLength { limit } => format!("longer than {limit} characters"),
        ValidationErrorKind::UniqueItems => "contains a duplicate entry".to_owned(),
        ValidationErrorKind::FalseSchema | ValidationErrorKind::MaxItems { .. } => {
            "not allowed in this template".to_owned()
        }
        ValidationErrorKind::Minimum { limit } => format!("less than {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("more than {limit}"),
        ValidationErrorKind::MinProperties { .. } | ValidationErrorKind::MaxProperties { .. } => {
            "wrong number of keys".to_owned()
        }
        ValidationErrorKind::PropertyNames { .. } => "contains a key with an invalid format".to_owned(),
        _ => "does not match the schema".to_owned(),
    }
}

/// The description of a JSON Pointer's target, as help for a finding.
fn describe_at(pointer: &str) -> String {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    let doc = describe(path).unwrap_or_default();
    if doc.description.is_empty() { "`ister schema` prints the schema".to_owned() } else { doc.description }
}

/// The node at a JSON Pointer (RFC 6901).
pub(super) fn locate<'n>(node: &'n Node, pointer: &str) -> &'n Node {
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

pub(super) fn narrow(node: &Node) -> Span {
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
        let schema = &*keys::SCHEMA;
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::draft202012::meta::validate(schema).unwrap();
        LazyLock::force(&VALIDATOR);
    }

    #[test]
    fn every_key_is_described() {
        let mut todo = vec![Vec::<String>::new()];
        let mut seen = 0;
        while let Some(path) = todo.pop() {
            let doc = describe(path.iter().map(String::as_str)).unwrap();
            assert!(
                !doc.title.is_empty() && !doc.description.is_empty() || path.is_empty(),
                "{path:?}: {doc:?}"
            );
            seen += 1;
            for key in doc.keys {
                todo.push(path.iter().cloned().chain([key]).collect());
            }
            let items: Vec<String> = path.iter().cloned().chain(["*".to_owned()]).collect();
            if describe(items.iter().map(String::as_str)).is_some() {
                todo.push(items);
            }
        }
        assert!(seen > 60, "{seen}");
        let doc = describe(["PartitionLayout", "0", "type"]).unwrap();
        assert_eq!(doc.values, ["EFI", "linux", "swap"]);
    }
}
