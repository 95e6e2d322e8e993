//! `missing-key`: a required key is missing or empty.

use crate::finding::MAX_FINDINGS;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{
    FILESYSTEM_KEYS, LAYOUT_KEYS, MOUNT_KEYS, Span, Spanned, TOP_KEYS, Template, USER_KEYS, nearest,
};

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
    const REQUIRED: &[&str] = &[
        "DestinationType",
        "PartitionLayout",
        "FilesystemTypes",
        "PartitionMountPoints",
        "Version",
        "Bundles",
    ];
    if template.span.end == 0 {
        // The template is not an object, which is reported as `wrong-type` or `syntax`.
        return;
    }
    for key in REQUIRED {
        if template.key_span(key).is_none() && !is_misspelt(&template.present, key, TOP_KEYS) {
            out.report(opening(template.span), format!("missing required key `{key}`"))
                .help("add it; `ister new kvm` writes a complete template to start from");
        }
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
        entry_keys(
            &entry.place.present,
            entry.place.span,
            "a partition entry",
            &["disk", "partition", "size", "type"],
            LAYOUT_KEYS,
            out,
        );
    }
    for entry in template.filesystems() {
        entry_keys(
            &entry.place.present,
            entry.place.span,
            "a filesystem entry",
            &["disk", "partition", "type"],
            FILESYSTEM_KEYS,
            out,
        );
    }
    for entry in template.mounts() {
        entry_keys(
            &entry.place.present,
            entry.place.span,
            "a mount point entry",
            &["disk", "partition", "mount"],
            MOUNT_KEYS,
            out,
        );
    }
    for user in template.users() {
        entry_keys(&user.present, user.span, "a user entry", &["username"], USER_KEYS, out);
    }
}

/// Whether another key is reported as a misspelling of this one (`misspelt-key`).
fn is_misspelt(present: &[Spanned<String>], key: &str, keys: &[&str]) -> bool {
    let others = present.iter().filter(|other| !keys.contains(&other.value.as_str()));
    others.take(MAX_FINDINGS).any(|other| nearest(&other.value, keys) == Some(key))
}

fn entry_keys(
    present: &[Spanned<String>],
    span: Span,
    what: &str,
    keys: &[&str],
    all: &[&str],
    out: &mut Findings,
) {
    for key in keys {
        if !present.iter().any(|p| p.value == *key) && !is_misspelt(present, key, all) {
            out.report(opening(span), format!("missing key `{key}` in {what}"))
                .help(format!("required keys: {}", keys.join(", ")));
        }
    }
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
