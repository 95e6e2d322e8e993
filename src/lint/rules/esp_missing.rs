//! `esp-missing`: a physical UEFI target has no EFI partition, or none at /boot.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{LayoutEntry, PartitionType, Template};

pub(super) static RULE: Rule = Rule {
    name: "esp-missing",
    summary: "a physical UEFI target has no EFI partition, or none at /boot",
    level: Level::Error,
    why: "UEFI firmware starts the boot loader from the EFI system partition. It is mounted at /boot, so that kernels and loader entries are installed on it. Without it, a physical machine does not boot.",
    example: r#"{
    "DestinationType": "physical",
    "PartitionLayout": [
        { "disk": "sda", "partition": 1, "size": "512M", "type": "linux" },
        { "disk": "sda", "partition": 2, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "sda", "partition": 1, "type": "vfat" },
        { "disk": "sda", "partition": 2, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "sda", "partition": 1, "mount": "/boot" },
        { "disk": "sda", "partition": 2, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "DestinationType": "physical",
    "PartitionLayout": [
        { "disk": "sda", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "sda", "partition": 2, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "sda", "partition": 1, "type": "vfat" },
        { "disk": "sda", "partition": 2, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "sda", "partition": 1, "mount": "/boot" },
        { "disk": "sda", "partition": 2, "mount": "/" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if !template.types_are_known() {
        return;
    }
    let physical = template.is_physical();
    if !physical || template.uses_bios() {
        return;
    }
    let (Some(layout), Some(mounts)) = (&template.layout, &template.mounts) else { return };
    let is_efi =
        |entry: &LayoutEntry| entry.kind.as_ref().and_then(|k| k.known()) == Some(PartitionType::Efi);
    if !layout.iter().any(is_efi) {
        out.report(opening(layout.span), "the physical target has no EFI partition to boot from")
            .help("add a partition of type EFI, or set `\"LegacyBios\": true`");
    }
    if !mounts.iter().any(|entry| entry.mount.as_ref().is_some_and(|m| m.value == "/boot")) {
        out.report(opening(mounts.span), "nothing is mounted at /boot, where the boot loader is installed")
            .help("mount the EFI partition at /boot, or set `\"LegacyBios\": true`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "physical", "PartitionLayout": [], "PartitionMountPoints": []}"##,
            &[
                r##"1:52 the physical target has no EFI partition to boot from"##,
                r##"1:80 nothing is mounted at /boot, where the boot loader is installed"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "physical", "LegacyBios": true, "PartitionLayout": [], "PartitionMountPoints": []}"##,
            &[],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "physical", "PartitionLayout": [{"type": "EFI"}], "PartitionMountPoints": [{"mount": "/boot"}]}"##,
            &[],
        );
    }
}
