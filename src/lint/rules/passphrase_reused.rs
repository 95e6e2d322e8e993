//! `passphrase-reused`: two filesystems have the same passphrase.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Spanned, Template};

pub(super) static RULE: Rule = Rule {
    name: "passphrase-reused",
    summary: "two filesystems have the same passphrase",
    level: Level::Warning,
    why: "A leaked passphrase opens both filesystems. If that is intended, one encrypted filesystem is simpler.",
    example: r#"{
    "Bundles": ["bootloader", "cryptsetup", "kernel-kvm", "os-core"],
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" },
        { "disk": "kvm.img", "partition": 5, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4", "encryption": { "name": "srv", "passphrase": { "env": "P" } } },
        { "disk": "kvm.img", "partition": 5, "type": "ext4", "encryption": { "name": "home", "passphrase": { "env": "P" } } }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" },
        { "disk": "kvm.img", "partition": 5, "mount": "/home" }
    ]
}"#,
    instead: r#"{
    "Bundles": ["bootloader", "cryptsetup", "kernel-kvm", "os-core"],
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" },
        { "disk": "kvm.img", "partition": 5, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4", "encryption": { "name": "srv", "passphrase": { "env": "P" } } },
        { "disk": "kvm.img", "partition": 5, "type": "ext4", "encryption": { "name": "home", "passphrase": { "env": "Q" } } }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" },
        { "disk": "kvm.img", "partition": 5, "mount": "/home" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut seen: Vec<&Spanned<SecretSource>> = Vec::new();
    for passphrase in template.filesystems().iter().filter_map(|f| f.encryption.as_ref()?.passphrase.as_ref())
    {
        match seen.iter().find(|earlier| earlier.value == passphrase.value) {
            Some(earlier) => {
                out.report(passphrase.span, "the passphrase is also used for another filesystem")
                    .label(earlier.span, "first used here");
            }
            None if seen.len() < MOST => seen.push(passphrase),
            None => {}
        }
    }
}

/// A template with more partitions is invalid anyway.
const MOST: usize = crate::plan::layout::MAX_PARTITIONS;
