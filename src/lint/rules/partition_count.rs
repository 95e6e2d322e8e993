//! `partition-count`: a disk has more than 128 partitions.

use crate::lint::finding::{Check, Findings, Level, Rule};

use crate::plan::layout::MAX_PARTITIONS;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "partition-count",
    summary: "a disk has more than 128 partitions",
    level: Level::Error,
    why: "A GUID partition table has 128 entries (UEFI 2.10, section 5.3.1), and the partition number is the index of an entry.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 129, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 129, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 129, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for disk in template.layout().iter().filter_map(|entry| entry.place.disk.as_ref()) {
        let count = counts.entry(disk.value.as_str()).or_default();
        *count += 1;
        if *count == MAX_PARTITIONS + 1 {
            out.report(disk.span, format!("`{}` has more than {MAX_PARTITIONS} partitions", disk.value))
                .help("remove partitions; a GUID partition table has 128 entries");
        }
    }
    for number in template.places().filter_map(|place| place.partition.as_ref()) {
        if number.value as usize > MAX_PARTITIONS {
            out.report(
                number.span,
                format!("partition number {} is greater than {MAX_PARTITIONS}", number.value),
            )
            .help("use a number from 1 to 128");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let entries = |count: usize| vec![r#"{"disk": "a"}"#; count].join(", ");
        let template = |count: usize| format!(r#"{{"PartitionLayout": [{}]}}"#, entries(count));
        check_rule(&super::RULE, &template(129), &["1:1951 `a` has more than 128 partitions"]);
        check_rule(&super::RULE, &template(128), &[]);
        let number = r#"{"PartitionLayout": [{"partition": 129}]}"#;
        check_rule(&super::RULE, number, &["1:36 partition number 129 is greater than 128"]);
    }
}
