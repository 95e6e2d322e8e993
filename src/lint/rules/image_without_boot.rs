//! `image-without-boot`: the image has no kernel and cannot boot.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "image-without-boot",
    summary: "the image has no kernel and cannot boot",
    level: Level::Note,
    why: "An image without a kernel, an EFI partition and LegacyBios is a container root filesystem. That is fine, but its boot cannot be tested.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/" }
    ],
    "Bundles": ["os-core"]
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
    let Some(bundles) = template.bundles.as_ref().filter(|b| !b.is_empty()) else { return };
    if template.is_virtual() && !efi && !template.uses_bios() && content.kernels.is_empty() {
        out.report(
            opening(bundles.span),
            "the image cannot boot: no kernel, no EFI partition and no `LegacyBios`",
        )
        .help("if it is a container, allow `image-without-boot` in `$lint`");
    }
}
