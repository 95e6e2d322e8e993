//! `kernel-missing`: an image that firmware starts has no kernel.

use crate::lint::content::Content;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "kernel-missing",
    summary: "an image that firmware starts has no kernel",
    level: Level::Warning,
    why: "Firmware starts the loader, and the loader a kernel. Without one the boot ends there. (A bundle of your own, or a hook, may bring one: then allow this with that reason.)",
    example: r#"{ "Bundles": ["bootloader", "os-core"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core"] }"#,
    check: Check::Content(check),
};

fn check(template: &Template, content: &Content, out: &mut Findings) {
    let efi = template.has_esp();
    let Some(bundles) = template.bundles.as_ref().filter(|b| !b.is_empty()) else { return };
    if (efi || template.boots_by_bios()) && content.kernels.is_empty() {
        out.report(opening(bundles.span), "no bundle brings a kernel, so nothing can boot")
            .help("kernel-kvm for virtual machines, kernel-native for real hardware")
            .fix(Fix::unsafe_(
                "add kernel-native",
                Change::AddItem { array: bundles.span, item: "\"kernel-native\"".to_owned() },
            ));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"LegacyBios": true, "Bundles": ["os-core", "linux-image-amd64"], "SoftwareManager": "apt"}"#,
            &[],
        );
        check_rule(
            &super::RULE,
            r#"{"LegacyBios": true, "Bundles": ["os-core", "linux-image-amd64"]}"#,
            &["1:33 no bundle brings a kernel, so nothing can boot"],
        );
        check_rule(&super::RULE, r#"{"Bundles": ["os-core"]}"#, &[]);
    }
}
