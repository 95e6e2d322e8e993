//! `esp-small`: the EFI partition cannot hold a kernel and its initramfs.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Bytes, Change, Fix, Loader, Template, boot_method};

pub(super) static RULE: Rule = Rule {
    name: "esp-small",
    summary: "the EFI partition cannot hold a kernel and its initramfs",
    level: Level::Warning,
    why: "A kernel takes 8 to 14 MiB and its initramfs 10 MiB or more; both lie in the EFI partition, beside the loader. A build with less ends when it is nearly done.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "4M", "type": "EFI" },
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

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    let Some(efi) = partitions.efi() else { return };
    let (Some(size), Some(entry)) = (efi.size(), efi.layout.and_then(|l| l.size.as_ref())) else { return };
    let method = boot_method(template);
    let grub = method.is_some_and(|method| method.loader == Loader::Grub && method.esp.is_some());
    let (least, what) = match grub {
        true => (LEAST_FOR_GRUB, "shim and GRUB"),
        false => (LEAST, "a kernel and its initramfs"),
    };
    if size < least {
        out.report(entry.span, format!("an EFI partition of {size} cannot hold {what}"))
            .help(format!("they need about {least}; 512M leaves room for updates"))
            .fix(Fix::unsafe_("make it 512M", Change::string(entry.span, "512M")));
    }
}

/// shim, GRUB and MokManager are 6 MB, with bookworm, trixie and sid.
const LEAST_FOR_GRUB: Bytes = Bytes::mib(8);

/// Debian's cloud kernel (8 MiB) with the smallest initramfs (10.5 MiB), systemd-boot and FAT's own tables, rounded
/// up; measured with bookworm.
pub(super) const LEAST: Bytes = Bytes::mib(24);
