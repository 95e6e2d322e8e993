//! `package-name`: a bundle or package name is invalid.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::bundle::invalid_package_name;
use crate::template::{SoftwareManager, Template};

pub(super) static RULE: Rule = Rule {
    name: "package-name",
    summary: "a bundle or package name is invalid",
    level: Level::Error,
    why: "With apt and dnf, a name without a bundle definition is passed to the package manager as a package name. Other arguments are rejected: apt-get removes a package if `-` is appended to its name, and a pattern installs all packages that happen to match.",
    example: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core", "nano-"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core"] }"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    if !matches!(content.manager, Some(SoftwareManager::Apt | SoftwareManager::Dnf)) {
        return;
    }
    let without_definition = |name: &str| !name.is_empty() && content.definitions.get(name).is_none();
    for bundle in template.bundles().iter().filter(|bundle| without_definition(bundle)) {
        if let Some((message, help)) = invalid_package_name(bundle) {
            out.report(bundle.span, message).help(help);
        }
    }
}
