//! `mount-impossible`: a filesystem cannot be used at its mount point.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{FilesystemType, PartitionType, Template};

pub(super) static RULE: Rule = Rule {
    name: "mount-impossible",
    summary: "a filesystem cannot be used at its mount point",
    level: Level::Error,
    why: "Some directories are mounted by the running system, swap cannot store files, and a root filesystem needs file owners, modes and links.",
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
            _ if swap || kind == Some(FilesystemType::Swap) => "swap cannot be mounted",
            ("/", Some(FilesystemType::Vfat)) => {
                "vfat has no file owners, modes and links, which a root filesystem needs"
            }
            // An EFI partition that is not vfat is reported by `esp-filesystem`.
            ("/boot", Some(kind)) if kind != FilesystemType::Vfat && !template.uses_bios() && !efi => {
                "UEFI firmware reads the boot loader from here, which requires vfat"
            }
            ("/etc", _) => "systemd reads /etc before it mounts other filesystems",
            _ if matches!(first, "dev" | "proc" | "run" | "sys") => {
                "reserved for a filesystem of the running system"
            }
            _ => continue,
        };
        out.report(mount.span, format!("invalid mount point `{}`: {fault}", mount.value.escape_debug()))
            .help("change the mount point or the filesystem type");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "swap"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/home"}]}"##,
            &[r##"1:134 invalid mount point `/home`: swap cannot be mounted"##],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/boot"}]}"##,
            &[
                r##"1:134 invalid mount point `/boot`: UEFI firmware reads the boot loader from here, which requires vfat"##,
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
            &[r##"1:37 invalid mount point `/proc/x`: reserved for a filesystem of the running system"##],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"##,
            &[],
        );
    }
}
