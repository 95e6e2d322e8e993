//! `image-unbootable`: a virtual image has a kernel, but no firmware can boot it.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "image-unbootable",
    summary: "a virtual image has a kernel, but no firmware can boot it",
    level: Level::Error,
    why: "UEFI starts the boot loader from an EFI partition, BIOS from the boot sectors that LegacyBios writes. An image with neither does not boot.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "LegacyBios": true,
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/" }
    ]
}"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    if !template.types_are_known() {
        return;
    }
    let efi = template.has_esp();
    let Some(layout) = template.layout.as_ref().filter(|layout| !layout.is_empty()) else { return };
    let virtual_ = template.destination.as_ref().filter(|_| template.is_virtual());
    let (Some(_), false, false) = (virtual_, efi, template.uses_bios()) else { return };
    let Some(kernel) = content.kernels.first().copied() else { return };
    let added = out
        .report(
            opening(layout.span),
            "no firmware can boot this image: it has neither an EFI partition nor `LegacyBios`",
        )
        .label(kernel.span, "kernel installed here")
        .help("add an EFI partition at /boot, or set `\"LegacyBios\": true`");
    if template.legacy_bios.is_none() {
        added.fix(Fix::unsafe_(
            "add `\"LegacyBios\": true`",
            Change::AddKey { object: template.span, key: "LegacyBios".to_owned(), value: "true".to_owned() },
        ));
    }
}
