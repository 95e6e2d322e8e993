//! `passphrase-clear`: the template contains a passphrase in clear text.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template};

pub(super) static RULE: Rule = Rule {
    name: "passphrase-clear",
    summary: "the template contains a passphrase in clear text",
    level: Level::Warning,
    why: "Anyone who can read the template, its version history or a backup can decrypt the disk.",
    example: r#"{
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
        { "disk": "kvm.img", "partition": 4, "type": "ext4", "encryption": { "name": "srv", "passphrase": "correct horse battery staple" } }
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
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for passphrase in template.filesystems().iter().filter_map(|f| f.encryption.as_ref()?.passphrase.as_ref())
    {
        if matches!(&passphrase.value, SecretSource::Inline(text) if !text.is_empty()) {
            out.report(passphrase.span, "passphrase in clear text")
                .help("read it from the environment or a file: `{ \"env\": NAME }` or `{ \"file\": PATH }`");
        }
    }
}
