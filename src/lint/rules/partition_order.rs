//! `partition-order`: partition numbers have a gap or are out of order.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::plan::layout::MAX_PARTITIONS;
use crate::template::{Span, Template};
use std::collections::HashMap;

pub(super) static RULE: Rule = Rule {
    name: "partition-order",
    summary: "partition numbers have a gap or are out of order",
    level: Level::Note,
    why: "Partitions are placed on the disk in the order of their numbers, regardless of the order of the entries. ister.py renumbered them from 1, so a gap changed the number of every partition after it.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    if !partitions.is_complete() {
        return;
    }
    let mut highest: HashMap<&str, (u32, Span)> = HashMap::new();
    for place in template.layout().iter().map(|entry| &entry.place) {
        let (Some((disk, number)), Some(at)) = (place.key(), &place.partition) else { continue };
        match highest.get(disk) {
            Some(&(before, span)) if number < before => {
                out.report(at.span, format!("partition {number} is listed after partition {before}"))
                    .label(span, "listed before it")
                    .help("list the entries in the order of their numbers, which is the order on the disk");
            }
            _ => {
                highest.insert(disk, (number, at.span));
            }
        }
    }
    let mut last: Option<(&str, u32)> = None;
    for partition in partitions.iter().filter(|p| p.layout.is_some()) {
        let before = last.filter(|(disk, _)| *disk == partition.disk).map_or(0, |(_, number)| number);
        // Invalid numbers are reported by `partition-count`.
        if partition.number > before + 1 && partition.number as usize <= MAX_PARTITIONS {
            out.report(partition.span(), format!("partition number {} is not used", before + 1))
                .help("renumber the partitions; ister preserves the gap, ister.py closed it");
        }
        last = Some((partition.disk, partition.number));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"PartitionLayout": [{"disk": "a", "partition": 2}, {"disk": "a", "partition": 1}, {"disk": "b", "partition": 1}]}"#,
            &["1:80 partition 1 is listed after partition 2"],
        );
        check_rule(
            &super::RULE,
            r#"{"PartitionLayout": [{"disk": "a", "partition": 2}]}"#,
            &["1:49 partition number 1 is not used"],
        );
        check_rule(
            &super::RULE,
            r#"{"PartitionLayout": [{"disk": "a", "partition": 1}, {"disk": "a", "partition": 2}]}"#,
            &[],
        );
    }
}
