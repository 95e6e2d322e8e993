//! `os-core-missing`: the bundle os-core is missing.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{Change, Fix, SoftwareManager, Template};

pub(super) static RULE: Rule = Rule {
    name: "os-core-missing",
    summary: "the bundle os-core is missing",
    level: Level::Warning,
    why: "os-core is the smallest system that reaches a login prompt. swupd and apt content always contains it. With dnf only the listed bundles are installed, and without an init the kernel panics.",
    example: r#"{ "SoftwareManager": "dnf", "Version": 41, "Bundles": ["bootloader", "kernel-kvm"] }"#,
    instead: r#"{ "SoftwareManager": "dnf", "Version": 41, "Bundles": ["bootloader", "kernel-kvm", "os-core"] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(bundles) = template.bundles.as_ref().filter(|b| !b.is_empty()) else { return };
    let is_dnf = template.manager() == Some(SoftwareManager::Dnf);
    if is_dnf && !bundles.iter().any(|bundle| bundle.value == "os-core") {
        out.report(opening(bundles.span), "missing bundle `os-core`")
            .fix(Fix::unsafe_(
                "add `os-core`",
                Change::AddItem { array: bundles.span, item: "\"os-core\"".to_owned() },
            ))
            .help("add it");
    }
}
