//! `esp-small`: the EFI partition is too small for a kernel and its initramfs.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Bytes, Change, Fix, Loader, Template, boot_method};

pub(super) static RULE: Rule = Rule {
    name: "esp-small",
    summary: "the EFI partition is too small for a kernel and its initramfs",
    level: Level::Warning,
    why: "A kernel takes 8 to 14 MiB and its initramfs 10 MiB or more. Both are stored on the EFI partition, next to the boot loader. If it is too small, the build fails in one of its last steps.",
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
        out.report(entry.span, format!("the EFI partition of {size} is too small for {what}"))
            .help(format!("make it at least {least}; 512M leaves space for updates"))
            .fix(Fix::unsafe_("replace with `512M`", Change::string(entry.span, "512M")));
    }
}

/// shim, GRUB and MokManager take 6 MB, measured with bookworm, trixie and sid.
const LEAST_FOR_GRUB: Bytes = Bytes::mib(8);

/// Debian's cloud kernel (8 MiB), the smallest initramfs (10.5 MiB), systemd-boot and the FAT metadata, rounded up;
/// measured with bookworm.
pub(super) const LEAST: Bytes = Bytes::mib(24);
