//! `image-without-boot`: an image is not meant to boot.

use crate::lint::content::Content;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "image-without-boot",
    summary: "an image is not meant to boot",
    level: Level::Note,
    why: "With neither a kernel nor firmware to start one, the image is the root of a container. That is fine, but it cannot be proven to boot.",
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
    check: Check::Content(check),
};

fn check(template: &Template, content: &Content, out: &mut Findings) {
    if !template.types_are_known() {
        return;
    }
    let efi = template.has_esp();
    let Some(bundles) = template.bundles.as_ref().filter(|b| !b.is_empty()) else { return };
    if template.is_virtual() && !efi && !template.boots_by_bios() && content.kernels.is_empty() {
        out.report(
            opening(bundles.span),
            "nothing here boots: no kernel, no EFI partition, and not `LegacyBios`",
        )
        .help("fine for a container; allow it with that reason");
    }
}
