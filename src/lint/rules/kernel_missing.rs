//! `kernel-missing`: a bootable image has no kernel.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "kernel-missing",
    summary: "a bootable image has no kernel",
    level: Level::Warning,
    why: "The boot loader has no kernel to start. If a custom bundle or a hook installs a kernel, allow this rule in `$lint`.",
    example: r#"{ "Bundles": ["bootloader", "os-core"] }"#,
    instead: r#"{ "Bundles": ["bootloader", "kernel-kvm", "os-core"] }"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    let efi = template.has_esp();
    let Some(bundles) = template.bundles.as_ref().filter(|b| !b.is_empty()) else { return };
    if (efi || template.uses_bios()) && content.kernels.is_empty() {
        out.report(opening(bundles.span), "no bundle contains a kernel, so the image cannot boot")
            .help("add `kernel-kvm` for virtual machines or `kernel-native` for physical machines")
            .fix(Fix::unsafe_(
                "add `kernel-native`",
                Change::AddItem { array: bundles.span, item: "\"kernel-native\"".to_owned() },
            ));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"LegacyBios": true, "Bundles": ["os-core", "linux-image-amd64"], "SoftwareManager": "apt"}"#,
            &[],
        );
        check_rule(
            &super::RULE,
            r#"{"LegacyBios": true, "Bundles": ["os-core", "linux-image-amd64"]}"#,
            &["1:33 no bundle contains a kernel, so the image cannot boot"],
        );
        check_rule(&super::RULE, r#"{"Bundles": ["os-core"]}"#, &[]);
    }
}
