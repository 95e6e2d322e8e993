//! `label-duplicate`: two filesystems have the same label.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Span, Template};
use std::collections::HashMap;

pub(super) static RULE: Rule = Rule {
    name: "label-duplicate",
    summary: "two filesystems have the same label",
    level: Level::Warning,
    why: "LABEL= in fstab or on the command line finds one of them, and which one is chance.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap", "label": "root" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4", "label": "root" }
    ]
}"#,
    instead: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap", "label": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4", "label": "root" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for label in template.filesystems().iter().filter_map(|entry| entry.label.as_ref()) {
        if label.is_empty() {
            continue;
        }
        if let Some(first) = seen.get(label.value.as_str()) {
            out.report(label.span, format!("label `{}` is used twice", label.value.escape_debug()))
                .label(*first, "first here")
                .help("a lookup by label may find either; give each filesystem its own");
        } else {
            seen.insert(&label.value, label.span);
        }
    }
}
