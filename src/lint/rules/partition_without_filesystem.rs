//! `partition-without-filesystem`: a partition has no filesystem.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{PartitionType, Template};

pub(super) static RULE: Rule = Rule {
    name: "partition-without-filesystem",
    summary: "a partition has no filesystem",
    level: Level::Warning,
    why: "The partition is created and stays empty. Usually its entry in FilesystemTypes is missing.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    if !partitions.is_complete() {
        return;
    }
    if template.filesystems.is_none() {
        return;
    }
    for partition in
        partitions.iter().filter(|p| p.layout.is_some() && p.filesystem.is_none() && p.mount.is_none())
    {
        // Swap partitions are reported by `swap-filesystem`, mounted partitions by `mount-without-filesystem`.
        if partition.kind() != Some(PartitionType::Swap) {
            out.report(partition.span(), format!("partition {} has no filesystem", partition.number))
                .help("add an entry for it to FilesystemTypes, or remove the partition");
        }
    }
}
