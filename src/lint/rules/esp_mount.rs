//! `esp-mount`: the EFI partition is not mounted at /boot.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Change, Fix, Template, json_string};

pub(super) static RULE: Rule = Rule {
    name: "esp-mount",
    summary: "the EFI partition is not mounted at /boot",
    level: Level::Error,
    why: "The kernel, the initramfs, the boot loader and its entries are installed in /boot. If /boot is not the EFI system partition, firmware does not find them.",
    example: r#"{
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    if !partitions.is_complete() {
        return;
    }
    if template.uses_bios() || template.mounts.is_none() {
        return;
    }
    // A physical target without /boot is reported by `esp-missing`.
    let physical = template.is_physical();
    let Some(efi) = partitions.efi() else { return };
    if efi.is_at("/boot") || physical && partitions.at("/boot").is_none() {
        return;
    }
    match efi.mount_path() {
        // Relative paths are reported by `mount-path`.
        Some(mount) if !mount.starts_with('/') => {}
        Some(mount) => {
            let mut added = out.report(
                mount.span,
                format!("the EFI partition is mounted at `{}`, not at /boot", mount.value.escape_debug()),
            );
            if let Some(other) = partitions.at("/boot").and_then(|p| p.mount_path()) {
                added = added.label(other.span, "another partition is mounted at /boot");
            } else {
                added = added.fix(Fix::unsafe_("mount it at /boot", Change::string(mount.span, "/boot")));
            }
            added.help("mount it at /boot, where the kernel and the boot loader are installed");
        }
        None => {
            let mut added = out.report(efi.span(), "the EFI partition is not mounted at /boot");
            if let (Some(mounts), None) = (&template.mounts, partitions.at("/boot")) {
                let item = format!(
                    "{{ \"disk\": {}, \"partition\": {}, \"mount\": \"/boot\" }}",
                    json_string(efi.disk),
                    efi.number
                );
                added = added
                    .fix(Fix::unsafe_("mount it at /boot", Change::AddItem { array: mounts.span, item }));
            }
            added.help("mount it at /boot, where the kernel and the boot loader are installed");
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
            r#"{"PartitionLayout": [{"disk": "a", "partition": 1, "type": "EFI"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/efi"}]}"#,
            &["1:133 the EFI partition is mounted at `/efi`, not at /boot"],
        );
        check_rule(
            &super::RULE,
            r#"{"LegacyBios": true, "PartitionLayout": [{"disk": "a", "partition": 1, "type": "EFI"}], "PartitionMountPoints": []}"#,
            &[],
        );
        check_rule(
            &super::RULE,
            r#"{"PartitionLayout": [{"disk": "a", "partition": 1, "type": "EFI"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/boot"}]}"#,
            &[],
        );
    }
}
