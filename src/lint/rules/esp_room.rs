//! `esp-room`: the EFI partition has no space for a second kernel.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Bytes, Change, Fix, Loader, SoftwareManager, Template, boot_method};

pub(super) static RULE: Rule = Rule {
    name: "esp-room",
    summary: "the EFI partition has no space for a second kernel",
    level: Level::Warning,
    why: "A package manager installs a new kernel next to the old one. In this image both are stored on the EFI partition, because GRUB is not used or cannot read the root filesystem. If they do not fit, the update fails.",
    example: r#"{
    "SoftwareManager": "apt",
    "Version": "bookworm",
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "48M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4", "options": "-O casefold" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "SoftwareManager": "apt",
    "Version": "bookworm",
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "128M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4", "options": "-O casefold" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    let on_esp = boot_method(template).is_some_and(|m| m.loader == Loader::SystemdBoot);
    if !on_esp || !matches!(template.manager(), Some(SoftwareManager::Apt | SoftwareManager::Dnf)) {
        return;
    }
    let Some(efi) = partitions.efi() else { return };
    let (Some(size), Some(entry)) = (efi.size(), efi.layout.and_then(|l| l.size.as_ref())) else { return };
    if size < TWO_KERNELS {
        out.report(entry.span, format!("the EFI partition of {size} has no space for the kernel of an update"))
            .help("make it 128M, which is enough for three kernels; two kernels and their initramfs take about 50 MB")
            .fix(Fix::unsafe_("replace with `128M`", Change::string(entry.span, "128M")));
    }
}

/// Minimum size for updating a cloud kernel: 47.6 MB with the boot loader and the FAT metadata, measured with bookworm
/// and trixie.
const TWO_KERNELS: Bytes = Bytes::mib(60);

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    const REST: &str = r#""FilesystemTypes": [{"disk": "a", "partition": 1, "type": "vfat"}, {"disk": "a", "partition": 2, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/boot"}, {"disk": "a", "partition": 2, "mount": "/"}]}"#;

    #[test]
    fn reports_expected_findings() {
        let layout = r#""PartitionLayout": [{"disk": "a", "partition": 1, "size": "32M", "type": "EFI"}, {"disk": "a", "partition": 2, "size": "8G", "type": "linux"}], "#;
        let with = |manager: &str| format!("{{\"SoftwareManager\": \"{manager}\", {layout}{REST}");
        check_rule(
            &super::RULE,
            &with("dnf"),
            &["1:86 the EFI partition of 32 MiB has no space for the kernel of an update"],
        );
        // GRUB loads kernels from the root filesystem, and Clear Linux keeps only one kernel.
        check_rule(&super::RULE, &with("apt"), &[]);
        check_rule(&super::RULE, &with("swupd"), &[]);
    }
}
