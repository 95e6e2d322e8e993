//! `mount-impossible`: a filesystem is mounted where it cannot be.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{FilesystemType, PartitionType, Template};

pub(super) static RULE: Rule = Rule {
    name: "mount-impossible",
    summary: "a filesystem is mounted where it cannot be",
    level: Level::Error,
    why: "Some places belong to the running system, swap holds no files, and a root filesystem needs owners, modes and links.",
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
        { "disk": "kvm.img", "partition": 4, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/run/data" }
    ]
}"#,
    instead: r#"{
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
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    for entry in template.mounts() {
        let Some(mount) = &entry.mount else { continue };
        let partition = partitions.get(&entry.place);
        let kind = partition.and_then(|p| p.filesystem_kind());
        let swap = partition.is_some_and(|p| p.kind() == Some(PartitionType::Swap));
        let efi = partition.is_some_and(|p| p.is_efi());
        let first = mount.split('/').nth(1).unwrap_or_default();
        let fault = match (mount.as_str(), kind) {
            _ if swap || kind == Some(FilesystemType::Swap) => {
                "swap is not mounted: what lies there would be lost"
            }
            ("/", Some(FilesystemType::Vfat)) => {
                "vfat cannot be the root: it knows no owners, modes and links"
            }
            // Of an EFI partition that is not vfat, `esp-filesystem` speaks.
            ("/boot", Some(kind)) if kind != FilesystemType::Vfat && !template.boots_by_bios() && !efi => {
                "firmware reads the boot loader from here: UEFI needs vfat"
            }
            ("/etc", _) => "systemd needs /etc before it can mount anything",
            _ if matches!(first, "dev" | "proc" | "run" | "sys") => {
                "the running system mounts its own filesystem here"
            }
            _ => continue,
        };
        out.report(
            mount.span,
            format!("nothing can be mounted at `{}` like this: {fault}", mount.value.escape_debug()),
        )
        .help("mount something else there, or this somewhere else");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "swap"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/home"}]}"##,
            &[
                r##"1:134 nothing can be mounted at `/home` like this: swap is not mounted: what lies there would be lost"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/boot"}]}"##,
            &[
                r##"1:134 nothing can be mounted at `/boot` like this: firmware reads the boot loader from here: UEFI needs vfat"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"LegacyBios": true, "FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/boot"}]}"##,
            &[],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionMountPoints": [{"mount": "/proc/x"}]}"##,
            &[
                r##"1:37 nothing can be mounted at `/proc/x` like this: the running system mounts its own filesystem here"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"##,
            &[],
        );
    }
}
