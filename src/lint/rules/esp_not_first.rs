//! `esp-not-first`: the EFI partition is not the first one.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "esp-not-first",
    summary: "the EFI partition is not the first one",
    level: Level::Warning,
    why: "UEFI finds it anywhere, but installers, recovery tools and some firmware look at the first partition only. Growing another partition is also easier behind it.",
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
                "the EFI partition is number {}, not the first of `{}`",
                efi.number,
                efi.disk.escape_debug()
            ),
        )
        .label(first.span(), "this one comes before it")
        .help("give it number 1");
    }
}
