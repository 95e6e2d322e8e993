//! `os-core-missing`: the bundle os-core is missing.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{Change, Fix, SoftwareManager, Template};

pub(super) static RULE: Rule = Rule {
    name: "os-core-missing",
    summary: "the bundle os-core is missing",
    level: Level::Warning,
    why: "os-core is the smallest system that reaches a login prompt. swupd adds it to every image. Other software managers install only the listed bundles, and without an init the kernel panics.",
    example: r#"{ "Bundles": ["bootloader", "kernel-kvm"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core"] }"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    let Some(bundles) = template.bundles.as_ref().filter(|b| !b.is_empty()) else { return };
    let init = content.is_apt()
        && ["systemd-sysv", "sysvinit-core", "runit-init", "init"].iter().any(|p| content.has_package(p));
    // swupd always installs it.
    let added = template.manager() == Some(SoftwareManager::Swupd);
    if !init && !added && !bundles.iter().any(|bundle| bundle.value == "os-core") {
        out.report(opening(bundles.span), "missing bundle `os-core`")
            .fix(Fix::unsafe_(
                "add `os-core`",
                Change::AddItem { array: bundles.span, item: "\"os-core\"".to_owned() },
            ))
            .help("add it, or with apt a package that contains an init, such as `systemd-sysv`");
    }
}
