//! `filesystem-options-grub`: mkfs options enable a feature that GRUB cannot read.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Template, features_unreadable_by_grub};

pub(super) static RULE: Rule = Rule {
    name: "filesystem-options-grub",
    summary: "mkfs options enable a feature that GRUB cannot read",
    level: Level::Error,
    why: "With LegacyBios, GRUB 2.06 reads the kernel and the initramfs from the filesystem that contains /boot. If ext4 has a feature that GRUB does not support, the boot ends in the GRUB rescue shell.",
    example: r#"{
    "LegacyBios": true,
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "ext4", "options": "-O inline_data" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "LegacyBios": true,
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "ext4", "options": "-O ^64bit" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    if !template.uses_bios() {
        return;
    }
    let Some(boot) = partitions.at("/boot").or_else(|| partitions.at("/")) else { return };
    let Some(options) = boot.filesystem.and_then(|f| f.options.as_ref()) else { return };
    for feature in features_unreadable_by_grub(boot.filesystem_kind(), options) {
        out.report(
            options.span,
            format!("ext4 feature `{feature}` is not supported by GRUB, which reads this filesystem"),
        )
        .help(format!("remove it, or disable it with `^{feature}`"));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"LegacyBios": true, "FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4", "options": "-Ometadata_csum_seed,extent -b 4096"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"#,
            &["1:99 ext4 feature `metadata_csum_seed` is not supported by GRUB, which reads this filesystem"],
        );
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4", "options": "-O inline_data"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"#,
            &[],
        );
    }
}
