//! `bootloader-missing`: a UEFI image has no bundle with a boot loader.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{Change, Fix, SoftwareManager, Template};

pub(super) static RULE: Rule = Rule {
    name: "bootloader-missing",
    summary: "a UEFI image has no bundle with a boot loader",
    level: Level::Warning,
    why: "Firmware starts /EFI/BOOT/BOOTX64.EFI on the EFI partition, which the bundle `bootloader` installs. With apt it is added automatically, and with swupd every kernel bundle includes it.",
    example: r#"{
    "SoftwareManager": "dnf",
    "Version": 40,
    "Bundles": ["kernel-kvm", "os-core"]
}"#,
    instead: r#"{
    "SoftwareManager": "dnf",
    "Version": 40,
    "Bundles": ["bootloader", "kernel-kvm", "os-core"]
}"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, _: &BundleContent, out: &mut Findings) {
    let is_dnf = template.manager() == Some(SoftwareManager::Dnf);
    let efi = template.has_esp();
    let Some(bundles) = template.bundles.as_ref().filter(|b| !b.is_empty()) else { return };
    let there = bundles.iter().any(|bundle| bundle.value == "bootloader");
    if efi && !template.uses_bios() && is_dnf && !there {
        out.report(opening(bundles.span), "no bundle contains a UEFI boot loader")
            .help("add the bundle `bootloader`, unless another bundle includes it")
            .fix(Fix::unsafe_(
                "add `bootloader`",
                Change::AddItem { array: bundles.span, item: "\"bootloader\"".to_owned() },
            ));
    }
}
