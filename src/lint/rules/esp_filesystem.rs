//! `esp-filesystem`: the EFI partition is not formatted as vfat.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Change, FilesystemType, Fix, Named, Template};

pub(super) static RULE: Rule = Rule {
    name: "esp-filesystem",
    summary: "the EFI partition is not formatted as vfat",
    level: Level::Error,
    why: "Firmware reads the EFI system partition, and it is only required to support FAT (UEFI 2.10, section 13.3).",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "ext4" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    instead: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(_: &Template, partitions: &Partitions, out: &mut Findings) {
    for partition in partitions.iter().filter(|p| p.is_efi()) {
        let Some(kind) = partition.filesystem.and_then(|f| f.kind.as_ref()) else { continue };
        if kind.known().is_some_and(|known| known != FilesystemType::Vfat) {
            let (Named::Known(known), span) = (&kind.value, kind.span) else { continue };
            out.report(
                span,
                format!("the EFI partition is formatted as {known}, which firmware cannot read"),
            )
            .help("set its `type` to `vfat`")
            .fix(Fix::unsafe_("replace with `vfat`", Change::string(span, "vfat")));
        }
    }
}
