//! `disk-several`: a virtual target has more than one disk.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "disk-several",
    summary: "a virtual target has more than one disk",
    level: Level::Error,
    why: "A virtual target is one image file with one partition table. Entries for another disk would silently be missing from it.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" },
        { "disk": "swap.img", "partition": 1, "size": "32M", "type": "swap" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4" },
        { "disk": "swap.img", "partition": 1, "type": "swap" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 3, "size": "32M", "type": "swap" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4" },
        { "disk": "kvm.img", "partition": 3, "type": "swap" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if !template.is_virtual() {
        return;
    }
    let mut disks = template.layout().iter().filter_map(|entry| entry.place.disk.as_ref());
    let Some(first) = disks.next() else { return };
    if let Some(other) = disks.find(|disk| disk.value != first.value) {
        out.report(other.span, format!("second disk `{}` in a virtual target", other.value))
            .label(first.span, "first disk")
            .help("use the same `disk` in all entries; a template describes one image file");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a"}, {"disk": "b"}]}"##,
            &[r##"1:76 second disk `b` in a virtual target"##],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "physical", "PartitionLayout": [{"disk": "a"}, {"disk": "b"}]}"##,
            &[],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a"}, {"disk": "a"}]}"##,
            &[],
        );
    }
}
