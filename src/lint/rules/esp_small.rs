//! `esp-small`: the EFI partition cannot hold a kernel and its initramfs.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Bytes, Change, Fix, Template};

pub static RULE: Rule = Rule {
    name: "esp-small",
    summary: "the EFI partition cannot hold a kernel and its initramfs",
    level: Level::Warning,
    why: "A kernel takes 8 to 14 MiB and its initramfs 10 MiB or more; both lie in the EFI partition, beside the loader. A build with less ends when it is nearly done.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "16M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
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

fn check(_: &Template, partitions: &Partitions, out: &mut Findings) {
    let Some(efi) = partitions.efi() else { return };
    let (Some(size), Some(entry)) = (efi.size(), efi.layout.and_then(|l| l.size.as_ref())) else { return };
    if size < LEAST {
        out.report(entry.span, format!("an EFI partition of {size} cannot hold a kernel and its initramfs"))
            .help(format!("they need about {LEAST}; 512M leaves room for updates"))
            .fix(Fix::unsafe_("make it 512M", Change::string(entry.span, "512M")));
    }
}

/// Debian's cloud kernel (8 MiB) with the smallest initramfs (10.5 MiB), systemd-boot and FAT's own tables, rounded
/// up; measured with bookworm.
pub const LEAST: Bytes = Bytes::mib(24);
