//! `partition-order`: partition numbers have a hole, or are not in order.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::plan::layout::MAX_PARTITIONS;
use crate::template::{Span, Template};
use std::collections::HashMap;

pub(super) static RULE: Rule = Rule {
    name: "partition-order",
    summary: "partition numbers have a hole, or are not in order",
    level: Level::Note,
    why: "Partitions lie on the disk in the order of their numbers, whatever the order of the entries. ister.py numbered them again from 1, so that a hole moved every partition behind it.",
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
                out.report(at.span, format!("partition {number} stands behind partition {before}"))
                    .label(span, "this one")
                    .help("on the disk it comes first; write the entries in the order of the numbers");
            }
            _ => {
                highest.insert(disk, (number, at.span));
            }
        }
    }
    let mut last: Option<(&str, u32)> = None;
    for partition in partitions.iter().filter(|p| p.layout.is_some()) {
        let before = last.filter(|(disk, _)| *disk == partition.disk).map_or(0, |(_, number)| number);
        // What is no number at all has a rule of its own.
        if partition.number > before + 1 && partition.number as usize <= MAX_PARTITIONS {
            out.report(partition.span(), format!("there is no partition {} before this one", before + 1))
                .help("the number is kept, and the one before stays free; ister.py closed the gap");
        }
        last = Some((partition.disk, partition.number));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"PartitionLayout": [{"disk": "a", "partition": 2}, {"disk": "a", "partition": 1}, {"disk": "b", "partition": 1}]}"#,
            &["1:80 partition 1 stands behind partition 2"],
        );
        check_rule(
            &super::RULE,
            r#"{"PartitionLayout": [{"disk": "a", "partition": 2}]}"#,
            &["1:49 there is no partition 1 before this one"],
        );
        check_rule(
            &super::RULE,
            r#"{"PartitionLayout": [{"disk": "a", "partition": 1}, {"disk": "a", "partition": 2}]}"#,
            &[],
        );
    }
}
