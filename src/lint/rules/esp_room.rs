//! `esp-room`: the EFI partition has no room for the kernel of an update.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Bytes, Change, Fix, Loader, SoftwareManager, Template, boot_method};

pub(super) static RULE: Rule = Rule {
    name: "esp-room",
    summary: "the EFI partition has no room for the kernel of an update",
    level: Level::Warning,
    why: "A package manager installs a new kernel beside the old one. Here both have to be in the EFI partition, since GRUB cannot read the root filesystem or is not used; where they do not fit, the update fails.",
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
        out.report(entry.span, format!("an EFI partition of {size} has no room for the kernel of an update"))
            .help("two kernels with their initramfs take about 50 MB; 128M has room for three")
            .fix(Fix::unsafe_("make it 128M", Change::string(entry.span, "128M")));
    }
}

/// Below it no update of a cloud kernel fits, measured with bookworm and trixie: 47.6 MB, with the loader and FAT's own tables.
const TWO_KERNELS: Bytes = Bytes::mib(60);

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    const REST: &str = r#""FilesystemTypes": [{"disk": "a", "partition": 1, "type": "vfat"}, {"disk": "a", "partition": 2, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/boot"}, {"disk": "a", "partition": 2, "mount": "/"}]}"#;

    #[test]
    fn it_fires_where_it_should() {
        let layout = r#""PartitionLayout": [{"disk": "a", "partition": 1, "size": "32M", "type": "EFI"}, {"disk": "a", "partition": 2, "size": "8G", "type": "linux"}], "#;
        let with = |manager: &str| format!("{{\"SoftwareManager\": \"{manager}\", {layout}{REST}");
        check_rule(
            &super::RULE,
            &with("dnf"),
            &["1:86 an EFI partition of 32 MiB has no room for the kernel of an update"],
        );
        // GRUB starts kernels of the root filesystem; Clear's own tool keeps one.
        check_rule(&super::RULE, &with("apt"), &[]);
        check_rule(&super::RULE, &with("swupd"), &[]);
    }
}
