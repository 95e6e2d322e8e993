//! `esp-not-first`: the EFI partition is not the first partition.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "esp-not-first",
    summary: "the EFI partition is not the first partition",
    level: Level::Warning,
    why: "UEFI finds the EFI partition anywhere, but some installers, recovery tools and firmware check only the first partition. It is also easier to grow a partition that comes after it.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 2, "size": "512M", "type": "EFI" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "ext4" },
        { "disk": "kvm.img", "partition": 2, "type": "vfat" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 2, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 1, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(_: &Template, partitions: &Partitions, out: &mut Findings) {
    let Some(efi) = partitions.efi() else { return };
    let first = partitions.iter().find(|p| p.disk == efi.disk && p.layout.is_some());
    if let Some(first) = first.filter(|first| first.number != efi.number) {
        out.report(
            efi.span(),
            format!(
                "the EFI partition is partition {} of `{}`, not the first one",
                efi.number,
                efi.disk.escape_debug()
            ),
        )
        .label(first.span(), "first partition")
        .help("give the EFI partition number 1");
    }
}
