//! `bundle-unknown`: a bundle has no definition.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::bundle::invalid_package_name;
use crate::template::{Change, Fix, SoftwareManager, Template, nearest};
use std::collections::HashSet;

pub(super) static RULE: Rule = Rule {
    name: "bundle-unknown",
    summary: "the name of a bundle is probably misspelt",
    level: Level::Note,
    why: "With apt and dnf, a name without a definition is treated as a package name. A misspelt bundle name is then detected only when the package manager does not find the package. Names that are not similar to a bundle are accepted as packages.",
    example: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core", "sysadmin-basics"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core", "sysadmin-basic"] }"#,
    check: Check::BundleContent(check),
};

/// Bundles of Clear Linux that published templates name, and the most similar bundles with a definition.
const OF_CLEAR_LINUX: &[(&str, &str)] = &[
    ("clr-installer", "os-installer"),
    ("containers", "containers-basic"),
    ("desktop", "os-utils-gui"),
    ("desktop-autostart", "os-utils-gui"),
    ("kernel-container", "kernel-kvm"),
    ("kernel-iot-lts2018", "kernel-lts"),
];

/// Names of packages are often similar to those of bundles, so only a few typing errors count as one.
fn is_misspelling(name: &str, meant: &str) -> bool {
    name.chars().next() == meant.chars().next() && strsim::damerau_levenshtein(name, meant) <= 2
}

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    if !matches!(content.manager, Some(SoftwareManager::Apt | SoftwareManager::Dnf)) {
        return;
    }
    let known: Vec<&str> = content.definitions.names().collect();
    let packages: HashSet<&str> = content.definitions.packages().collect();
    let is_unknown =
        |name: &str| !name.is_empty() && content.definitions.get(name).is_none() && !packages.contains(name);
    for bundle in template.bundles().iter().filter(|bundle| is_unknown(bundle)) {
        if invalid_package_name(bundle).is_some() {
            continue;
        }
        if out.is_full() {
            // Searching for the nearest name is slow.
            return;
        }
        let name = bundle.value.escape_debug();
        if let Some((_, meant)) = OF_CLEAR_LINUX.iter().find(|(other, _)| *other == bundle.value) {
            out.report(bundle.span, format!("the bundle `{name}` of Clear Linux has no definition here"))
                .help(format!("the nearest that has one: `{meant}`"))
                .fix(Fix::unsafe_(format!("replace with `{meant}`"), Change::string(bundle.span, meant)));
        } else if let Some(meant) = nearest(bundle, &known).filter(|meant| is_misspelling(bundle, meant)) {
            out.report(bundle.span, format!("unknown bundle `{name}`, treated as a package name"))
                .help(format!("did you mean the bundle `{meant}`?"))
                .fix(Fix::unsafe_(format!("replace with `{meant}`"), Change::string(bundle.span, meant)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;
    use crate::plan::bundle;

    #[test]
    fn replacements_for_clear_linux_have_a_definition() {
        let definitions = bundle::builtin();
        for (name, meant) in super::OF_CLEAR_LINUX {
            assert!(definitions.get(name).is_none(), "{name}");
            assert!(definitions.get(meant).is_some(), "{meant}");
        }
    }

    #[test]
    fn packages_are_not_misspelt_bundles() {
        let with = |name: &str| format!(r#"{{"SoftwareManager": "apt", "Bundles": ["{name}"]}}"#);
        for name in ["pciutils", "usbutils", "binutils", "diffutils", "qemu-utils", "openssh-sftp-server"] {
            check_rule(&super::RULE, &with(name), &[]);
        }
        check_rule(
            &super::RULE,
            &with("editor"),
            &["1:40 unknown bundle `editor`, treated as a package name"],
        );
        check_rule(
            &super::RULE,
            &with("containers"),
            &["1:40 the bundle `containers` of Clear Linux has no definition here"],
        );
    }
}
