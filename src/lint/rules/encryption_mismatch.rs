//! `encryption-mismatch`: filesystem and mount point do not agree about encryption.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::lint::partitions::Partitions;
use crate::template::{Change, Fix, Span, Template};
use std::collections::HashMap;

pub(super) static RULE: Rule = Rule {
    name: "encryption-mismatch",
    summary: "filesystem and mount point do not agree about encryption",
    level: Level::Error,
    why: "The partition is encrypted by what FilesystemTypes says, and opened under that name. A mount point that names another mapping waits for it in vain, and one whose filesystem is not encrypted holds in clear what was meant to be secret.",
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
                out.report(opening(opened.span), "the filesystem that is mounted here is not encrypted")
                    .help("give its entry in FilesystemTypes the same `encryption`, with the passphrase");
            }
            (Some(made), Some(opened)) => {
                if let (Some(name), Some(other)) = (&made.name, &opened.name)
                    && name.value != other.value
                {
                    out.report(
                        other.span,
                        format!(
                            "the mapping is called `{}`, not `{}`",
                            name.value.escape_debug(),
                            other.value.escape_debug()
                        ),
                    )
                    .label(name.span, "made under this name")
                    .fix(Fix::unsafe_(
                        format!("write `{}`", name.value.escape_debug()),
                        Change::string(other.span, name),
                    ));
                }
            }
            _ => {}
        }
        if let Some(name) = made.and_then(|made| made.name.as_ref()) {
            if let Some(first) = names.get(name.value.as_str()) {
                out.report(name.span, format!("two mappings are called `{}`", name.value.escape_debug()))
                    .label(*first, "the first one")
                    .help("each needs a name of its own below /dev/mapper");
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
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"disk": "a", "partition": 1, "encryption": {"name": "x"}}, {"disk": "a", "partition": 2, "encryption": {"name": "x"}}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "encryption": {"name": "y"}}]}"#,
            &["1:135 two mappings are called `x`", "1:221 the mapping is called `x`, not `y`"],
        );
    }
}
