//! GUIDs and UUIDs derived from the template, so that the same template produces the same image.

use crate::template::{Node, Value};
use uuid::Uuid;

/// The namespace of ister's identifiers: the UUIDv5 of "ister" in the DNS namespace. Source: RFC 9562, 5.5.
const NAMESPACE: Uuid = Uuid::from_u128(0x2235_ad19_6a5b_593f_a933_12d5_ab1f_aa42);

/// Keys that determine the identifiers. Users are excluded, because identifiers are public and must not allow guessing
/// passwords or passphrases.
const KEYS: &[&str] = &[
    "Bundles",
    "DiskSize",
    "FilesystemTypes",
    "Hostname",
    "LegacyBios",
    "PartitionLayout",
    "PartitionMountPoints",
    "SoftwareManager",
    "Version",
    "cmdline",
];

/// The source of all identifiers of one image.
pub(super) struct Identity(Uuid);

impl Identity {
    /// Derives the identity from the template's JSON, independent of key order and white space.
    /// With a seed, the identifiers differ from those of the same template without one.
    pub(super) fn of(node: &Node, seed: Option<&str>) -> Identity {
        let mut text = seed.map(|seed| format!("seed={seed}\n")).unwrap_or_default();
        if let Value::Object(members) = &node.value {
            for key in KEYS {
                if let Some(member) = members.iter().rev().find(|m| m.key == *key) {
                    text.push_str(key);
                    text.push('=');
                    canonical(&member.value, &mut text);
                    text.push('\n');
                }
            }
        }
        Identity(Uuid::new_v5(&NAMESPACE, text.as_bytes()))
    }

    pub(super) fn guid(&self, what: &str) -> Uuid {
        Uuid::new_v5(&self.0, what.as_bytes())
    }
}

/// JSON with sorted keys and without white space and passphrases.
fn canonical(node: &Node, out: &mut String) {
    match &node.value {
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|m| m.key != "passphrase").collect();
            members.sort_by(|a, b| a.key.cmp(&b.key));
            out.push('{');
            for member in members {
                out.push_str(&serde_json::Value::from(member.key.as_str()).to_string());
                out.push(':');
                canonical(&member.value, out);
                out.push(',');
            }
            out.push('}');
        }
        _ => out.push_str(&node.to_plain().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{SourceText, parse};

    fn disk(text: &str) -> Uuid {
        let (_, node, _) = parse(&SourceText::new("t", text));
        Identity::of(&node, None).guid("disk")
    }

    #[test]
    fn the_namespace_is_the_uuid_of_ister() {
        assert_eq!(NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"ister"));
    }

    #[test]
    fn only_content_changes_the_identity() {
        let one =
            disk(r#"{"Version": 1, "FilesystemTypes": [{"disk": "a", "encryption": {"passphrase": "x"}}]}"#);
        let same = disk(r#"{"FilesystemTypes":[{"encryption":{"passphrase":"y"},"disk":"a"}],"Version":1}"#);
        assert_eq!(one, same);
        assert_ne!(one, disk(r#"{"Version": 2, "FilesystemTypes": [{"disk": "a", "encryption": {}}]}"#));
    }
}
