//! `label-duplicate`: two filesystems have the same label.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Span, Template};
use std::collections::HashMap;

pub(super) static RULE: Rule = Rule {
    name: "label-duplicate",
    summary: "two filesystems have the same label",
    level: Level::Warning,
    why: "It is undefined which of the filesystems `LABEL=` finds in fstab or on the kernel command line.",
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
            out.report(label.span, format!("duplicate filesystem label `{}`", label.value.escape_debug()))
                .label(*first, "first used here")
                .help("give each filesystem a unique label");
        } else {
            seen.insert(&label.value, label.span);
        }
    }
}
