//! `bundle-unknown`: no definition has this bundle.

use crate::lint::content::Content;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::bundle::not_a_package_name;
use crate::template::{Change, Fix, SoftwareManager, Template, nearest};

pub(super) static RULE: Rule = Rule {
    name: "bundle-unknown",
    summary: "no definition has this bundle",
    level: Level::Note,
    why: "With apt and dnf a name without a definition is taken as the name of a package, which the archive may or may not have. A misspelt bundle is found out only when the archive is asked.",
    example: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core", "sysadmin-basics"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core", "sysadmin-basic"] }"#,
    check: Check::Content(check),
};

fn check(template: &Template, content: &Content, out: &mut Findings) {
    if !matches!(content.manager, Some(SoftwareManager::Apt | SoftwareManager::Dnf)) {
        return;
    }
    let known: Vec<&str> = content.definitions.names().collect();
    let is_unknown = |name: &str| !name.is_empty() && content.definitions.get(name).is_none();
    for bundle in template.bundles().iter().filter(|bundle| is_unknown(bundle)) {
        if not_a_package_name(bundle).is_some() {
            continue;
        }
        if out.is_full() {
            // Looking for the nearest name takes time.
            return;
        }
        let name = bundle.value.escape_debug();
        match nearest(bundle, &known) {
            Some(meant) => {
                out.report(bundle.span, format!("no bundle is called `{name}`: it is taken as a package"))
                    .help(format!("did you mean the bundle `{meant}`?"))
                    .fix(Fix::unsafe_(format!("write `{meant}`"), Change::string(bundle.span, meant)));
            }
            None => {
                out.report(bundle.span, format!("no bundle is called `{name}`: it is taken as a package"))
                    .help("`--bundles DIR` adds definitions; a package that is meant can be allowed with that reason");
            }
        }
    }
}
