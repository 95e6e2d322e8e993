//! `encryption-kernel`: the image has no package that opens its encrypted filesystems.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::lint::partitions::Partitions;
use crate::template::{Change, Fix, Template, json_string};

pub(super) static RULE: Rule = Rule {
    name: "encryption-kernel",
    summary: "the image has no package that opens its encrypted filesystems",
    level: Level::Warning,
    why: "cryptsetup opens LUKS volumes: in the initramfs for the root filesystem (Debian: cryptsetup-initramfs), through systemd for others. Without it, the boot waits for a device that never appears.",
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
        { "disk": "kvm.img", "partition": 4, "type": "ext4", "encryption": { "name": "srv", "passphrase": { "env": "SRV_PASSPHRASE" } } }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" }
    ]
}"#,
    instead: r#"{
    "Bundles": ["bootloader", "cryptsetup", "kernel-kvm", "os-core"],
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
        { "disk": "kvm.img", "partition": 4, "type": "ext4", "encryption": { "name": "srv", "passphrase": { "env": "SRV_PASSPHRASE" } } }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" }
    ]
}"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    if !content.is_apt() {
        return;
    }
    let partitions = Partitions::of(template);
    for partition in partitions.iter() {
        let Some(encryption) = partition.filesystem.and_then(|f| f.encryption.as_ref()) else { continue };
        let early = partition.is_at("/") || partition.is_at("/usr");
        let package = if early { "cryptsetup-initramfs" } else { "cryptsetup" };
        if content.has_package("cryptsetup-initramfs") || !early && content.has_package("cryptsetup") {
            continue;
        }
        let added = out
            .report(
                opening(encryption.span),
                format!("missing package `{package}` to open this encrypted filesystem"),
            )
            .help("add the bundle `cryptsetup`");
        if let Some(bundles) = &template.bundles {
            added.fix(Fix::unsafe_(
                "add the bundle `cryptsetup`",
                Change::AddItem { array: bundles.span, item: json_string("cryptsetup") },
            ));
        }
    }
}
