//! `encryption-mismatch`: the encryption of a filesystem and its mount point differ.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::lint::partitions::Partitions;
use crate::template::{Change, Fix, Span, Template};
use std::collections::HashMap;

pub(super) static RULE: Rule = Rule {
    name: "encryption-mismatch",
    summary: "the encryption of a filesystem and its mount point differ",
    level: Level::Error,
    why: "FilesystemTypes decides whether a partition is encrypted, and under which name it is opened. A mount point with another name waits for a device that never appears. A mount point with encryption on an unencrypted filesystem stores data in clear text that was meant to be encrypted.",
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
        { "disk": "kvm.img", "partition": 4, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv", "encryption": { "name": "srv" } }
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
        { "disk": "kvm.img", "partition": 4, "mount": "/srv", "encryption": { "name": "srv" } }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(_: &Template, partitions: &Partitions, out: &mut Findings) {
    let mut names: HashMap<&str, Span> = HashMap::new();
    for partition in partitions.iter() {
        let made = partition.filesystem.and_then(|f| f.encryption.as_ref());
        let opened = partition.mount.and_then(|m| m.encryption.as_ref());
        match (made, opened) {
            (None, Some(opened)) if partition.filesystem.is_some() => {
                out.report(opening(opened.span), "the filesystem mounted here is not encrypted")
                    .help("add the same `encryption`, with a passphrase, to its entry in FilesystemTypes");
            }
            (Some(made), Some(opened)) => {
                if let (Some(name), Some(other)) = (&made.name, &opened.name)
                    && name.value != other.value
                {
                    out.report(
                        other.span,
                        format!(
                            "the encrypted volume is named `{}`, not `{}`",
                            name.value.escape_debug(),
                            other.value.escape_debug()
                        ),
                    )
                    .label(name.span, "defined here")
                    .fix(Fix::unsafe_(
                        format!("replace with `{}`", name.value.escape_debug()),
                        Change::string(other.span, name),
                    ));
                }
            }
            _ => {}
        }
        if let Some(name) = made.and_then(|made| made.name.as_ref()) {
            if let Some(first) = names.get(name.value.as_str()) {
                out.report(
                    name.span,
                    format!("duplicate encrypted volume name `{}`", name.value.escape_debug()),
                )
                .label(*first, "first used here")
                .help("use a unique name, since each volume is a device under /dev/mapper");
            } else {
                names.insert(&name.value, name.span);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"disk": "a", "partition": 1, "encryption": {"name": "x"}}, {"disk": "a", "partition": 2, "encryption": {"name": "x"}}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "encryption": {"name": "y"}}]}"#,
            &[
                "1:135 duplicate encrypted volume name `x`",
                "1:221 the encrypted volume is named `x`, not `y`",
            ],
        );
    }
}
