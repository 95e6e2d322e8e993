//! `encryption-boot`: the partition with the boot loader's files is encrypted.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::lint::partitions::Partitions;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "encryption-boot",
    summary: "the partition with the boot loader's files is encrypted",
    level: Level::Error,
    why: "Firmware and boot loader read /boot before a passphrase can be entered.",
    example: r#"{
    "Bundles": ["bootloader", "cryptsetup", "kernel-kvm", "os-core"],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat", "encryption": { "name": "boot", "passphrase": { "env": "P" } } },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    instead: r#"{
    "Bundles": ["bootloader", "cryptsetup", "kernel-kvm", "os-core"],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    for partition in partitions.iter() {
        let Some(encryption) = partition.filesystem.and_then(|f| f.encryption.as_ref()) else { continue };
        // Without a separate /boot, GRUB reads it from the root filesystem.
        let grub_reads_root =
            template.uses_bios() && partition.is_at("/") && partitions.at("/boot").is_none();
        if partition.is_efi() || partition.is_at("/boot") || grub_reads_root {
            out.report(opening(encryption.span), "the boot loader cannot read an encrypted /boot")
                .help("remove `encryption` here; with LegacyBios, put /boot on a separate partition");
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
            r#"{"LegacyBios": true, "FilesystemTypes": [{"disk": "a", "partition": 1, "encryption": {"name": "x"}}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"#,
            &["1:86 the boot loader cannot read an encrypted /boot"],
        );
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"disk": "a", "partition": 1, "encryption": {"name": "x"}}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"#,
            &[],
        );
    }
}
