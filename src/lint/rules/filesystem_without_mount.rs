//! `filesystem-without-mount`: a filesystem has no mount point.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{FilesystemType, PartitionType, Template};

pub(super) static RULE: Rule = Rule {
    name: "filesystem-without-mount",
    summary: "a filesystem has no mount point",
    level: Level::Warning,
    why: "The filesystem is created but never used. Usually its entry in PartitionMountPoints is missing.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    if !partitions.is_complete() {
        return;
    }
    // Without a root filesystem the mount points are incomplete, which `root-missing` reports.
    if partitions.at("/").is_none() {
        return;
    }
    for partition in partitions
        .iter()
        .filter(|p| p.layout.is_some() && p.mount.is_none() && (!p.is_efi() || template.uses_bios()))
    {
        let Some(kind) = partition.filesystem_kind() else { continue };
        let kept = partition.filesystem.is_some_and(|f| f.disable_format.is_some());
        if kind != FilesystemType::Swap && partition.kind() != Some(PartitionType::Swap) && !kept {
            let span = partition.filesystem.map_or(partition.span(), |f| f.place.partition_span());
            out.report(
                span,
                format!("the {kind} filesystem of partition {} has no mount point", partition.number),
            )
            .help("add an entry for it to PartitionMountPoints");
        }
    }
}
