//! `missing-key`: a required key is missing or empty.

use crate::finding::MAX_FINDINGS;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::keys::{self, KeyedObject};
use crate::template::{Span, Spanned, Template, nearest};

pub(super) static RULE: Rule = Rule {
    name: "missing-key",
    summary: "a required key is missing or empty",
    level: Level::Error,
    why: "These keys have no default, and nothing can be built without them.",
    example: r#"{ "Users": [{ "uid": 1000, "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "uid": 1000, "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if template.span.end == 0 {
        // The template is not an object, which is reported as `wrong-type` or `syntax`.
        return;
    }
    for key in missing(&template.present, &keys::TEMPLATE) {
        out.report(opening(template.span), format!("missing required key `{key}`"))
            .help("add it; `ister new kvm` writes a complete template to start from");
    }
    let mut empty = |key: &str, span: Option<Span>| {
        if let Some(span) = span {
            out.report(span, format!("the required key `{key}` is empty")).help("add at least one entry");
        }
    };
    empty("PartitionLayout", template.layout.as_ref().filter(|s| s.is_empty()).map(|s| s.span));
    empty("FilesystemTypes", template.filesystems.as_ref().filter(|s| s.is_empty()).map(|s| s.span));
    empty("PartitionMountPoints", template.mounts.as_ref().filter(|s| s.is_empty()).map(|s| s.span));
    empty("Bundles", template.bundles.as_ref().filter(|s| s.is_empty()).map(|s| s.span));

    for entry in template.layout() {
        check_entry(&entry.place.present, entry.place.span, &keys::PARTITION, out);
    }
    for entry in template.filesystems() {
        check_entry(&entry.place.present, entry.place.span, &keys::FILESYSTEM, out);
    }
    for entry in template.mounts() {
        check_entry(&entry.place.present, entry.place.span, &keys::MOUNT_POINT, out);
    }
    for user in template.users() {
        check_entry(&user.present, user.span, &keys::USER, out);
    }
}

fn check_entry(present: &[Spanned<String>], span: Span, object: &KeyedObject, out: &mut Findings) {
    for key in missing(present, object) {
        out.report(opening(span), format!("missing key `{key}` in {} entry", object.name))
            .help(format!("required keys: {}", object.required.join(", ")));
    }
}

/// The required keys that are neither present nor reported as misspelt (`misspelt-key`).
fn missing<'o>(present: &[Spanned<String>], object: &'o KeyedObject) -> Vec<&'o str> {
    let is_present = |key: &&str| present.iter().any(|other| other.value == **key);
    let is_misspelt = |key: &&str| {
        let others = present.iter().filter(|other| !object.keys.contains(&other.value.as_str()));
        others.take(MAX_FINDINGS).any(|other| nearest(&other.value, &object.keys) == Some(*key))
    };
    object.required.iter().copied().filter(|key| !is_present(key) && !is_misspelt(key)).collect()
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtual", "PartitionLayout": [], "FilesystemTypes": [{"disk": "a", "type": "x"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}], "Version": 1}"##,
            &[
                r##"1:1 missing required key `Bundles`"##,
                r##"1:51 the required key `PartitionLayout` is empty"##,
                r##"1:75 missing key `partition` in a filesystem entry"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": 1, "PartitionLayout": 1, "FilesystemTypes": 1, "PartitionMountPoints": 1, "Version": 1, "Bundles": 1}"##,
            &[],
        );
    }
}
