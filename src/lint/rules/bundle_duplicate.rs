//! `bundle-duplicate`: a bundle is listed twice.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Span, Template};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

pub(super) static RULE: Rule = Rule {
    name: "bundle-duplicate",
    summary: "a bundle is listed twice",
    level: Level::Warning,
    why: "The bundle is installed once. The duplicate suggests that another bundle was intended.",
    example: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core", "os-core"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core"] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut seen = HashMap::new();
    for bundle in template.bundles() {
        match seen.entry(bundle.value.as_str()) {
            Entry::Occupied(first) => {
                let first: &Span = first.get();
                out.report(bundle.span, format!("bundle `{}` is listed twice", bundle.value.escape_debug()))
                    .label(*first, "first listed here")
                    .fix(Fix::safe("remove the duplicate", Change::Remove(bundle.span)));
            }
            Entry::Vacant(entry) => {
                entry.insert(bundle.span);
            }
        }
    }
}
