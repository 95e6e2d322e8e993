//! `package-name`: no package can be called so.

use crate::lint::content::Content;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::bundle::not_a_package_name;
use crate::template::{SoftwareManager, Template};

pub(super) static RULE: Rule = Rule {
    name: "package-name",
    summary: "no package can have this name",
    level: Level::Error,
    why: "With apt and dnf a name without a definition is passed to the package manager as the name of a package. What else the package manager takes there is refused: apt-get removes a package whose name is followed by `-`, and a pattern installs whatever matches on that day.",
    example: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core", "nano-"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core"] }"#,
    check: Check::Content(check),
};

fn check(template: &Template, content: &Content, out: &mut Findings) {
    if !matches!(content.manager, Some(SoftwareManager::Apt | SoftwareManager::Dnf)) {
        return;
    }
    let without_definition = |name: &str| !name.is_empty() && content.definitions.get(name).is_none();
    for bundle in template.bundles().iter().filter(|bundle| without_definition(bundle)) {
        if let Some((message, help)) = not_a_package_name(bundle) {
            out.report(bundle.span, message).help(help);
        }
    }
}
