//! Comparison of two plans.

use crate::plan::Plan;
use serde_json::Value;
use std::collections::BTreeMap;

/// Renders one line per differing value, sorted by path. Empty if the plans are equal. Disks are identified by name and
/// partitions by number, so that an inserted element does not change the paths of the others.
pub fn compare_plans(old: &Plan, new: &Plan) -> String {
    let (old, new) = (flat(old), flat(new));
    let mut lines = String::new();
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    for path in paths {
        let line = match (old.get(path), new.get(path)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => format!("  {path}: {old} -> {new}\n"),
            (Some(old), None) => format!("- {path}: {old}\n"),
            (None, Some(new)) => format!("+ {path}: {new}\n"),
            (None, None) => continue,
        };
        lines.push_str(&line);
    }
    lines
}

fn flat(plan: &Plan) -> BTreeMap<String, String> {
    let value = serde_json::to_value(plan).expect("a plan can be serialized");
    let mut out = BTreeMap::new();
    flatten(&value, String::new(), &mut out);
    out
}

fn flatten(value: &Value, path: String, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let dot = if path.is_empty() { "" } else { "." };
                flatten(value, format!("{path}{dot}{key}"), out);
            }
        }
        Value::Array(items) => {
            let is_command = path.ends_with("mkfs");
            if is_command {
                let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                out.insert(path, words.join(" "));
                return;
            }
            for (index, item) in items.iter().enumerate() {
                let key = name(item).unwrap_or_else(|| index.to_string());
                flatten(item, format!("{path}[{key}]"), out);
            }
        }
        Value::Null => {}
        Value::String(text) => drop(out.insert(path, text.escape_debug().to_string())),
        other => drop(out.insert(path, other.to_string())),
    }
}

/// The key of a list item: the partition number, a name, or the item itself.
fn name(item: &Value) -> Option<String> {
    match item {
        Value::Object(members) => {
            let key = members.get("number").or_else(|| members.get("name"))?;
            Some(key.as_str().map_or_else(|| key.to_string(), str::to_owned))
        }
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}
