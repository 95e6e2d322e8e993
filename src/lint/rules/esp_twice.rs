//! `esp-twice`: there is more than one EFI partition.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{PartitionType, Template};

pub(super) static RULE: Rule = Rule {
    name: "esp-twice",
    summary: "there is more than one EFI partition",
    level: Level::Error,
    why: "Firmware starts the boot loader of one EFI system partition, and it is undefined which one. Only one of them can be mounted at /boot.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "64M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "vfat" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/data" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "64M", "type": "linux" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "vfat" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/data" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut efi = template
        .layout()
        .iter()
        .filter_map(|entry| entry.kind.as_ref().filter(|kind| kind.known() == Some(PartitionType::Efi)));
    let Some(first) = efi.next() else { return };
    for other in efi {
        out.report(other.span, "second EFI partition")
            .label(first.span, "first EFI partition")
            .help("set the `type` of one of them to `linux`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"type": "EFI"}, {"type": "EFI"}]}"##,
            &[r##"1:48 second EFI partition"##],
        );
        check_rule(&super::RULE, r##"{"PartitionLayout": [{"type": "EFI"}, {"type": "linux"}]}"##, &[]);
    }
}
