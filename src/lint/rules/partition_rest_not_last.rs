//! `partition-rest-not-last`: a partition that takes the rest of the disk is not the last one.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{PartitionRef, Size, Template};
use std::collections::HashMap;

pub(super) static RULE: Rule = Rule {
    name: "partition-rest-not-last",
    summary: "a partition that takes the rest of the disk is not the last one",
    level: Level::Error,
    why: "Partitions are placed on the disk in the order of their numbers. A partition that takes the rest of the disk leaves no space for partitions after it.",
    example: r#"{
    "DiskSize": "10G",
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "rest", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    instead: r#"{
    "DiskSize": "10G",
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "rest", "type": "linux" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    // The last partition of each disk.
    let mut last: HashMap<&str, &PartitionRef> = HashMap::new();
    for place in template.layout().iter().map(|entry| &entry.place) {
        let Some((disk, number)) = place.key() else { continue };
        let seen = last.entry(disk).or_insert(place);
        if seen.key().is_some_and(|(_, highest)| number > highest) {
            *seen = place;
        }
    }
    for entry in template.layout() {
        let (Some((disk, number)), Some(size)) = (entry.place.key(), &entry.size) else { continue };
        if size.value != Ok(Size::Rest) {
            continue;
        }
        let after = last.get(disk).filter(|place| place.key().is_some_and(|(_, highest)| highest > number));
        if let Some(after) = after {
            out.report(
                size.span,
                format!("partition {number} takes the rest of `{disk}`, but is not the last partition"),
            )
            .label(after.partition_span(), "later partition")
            .help("give it a size, or the highest partition number");
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
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1, "size": "rest"}, {"disk": "a", "partition": 2, "size": "1G"}]}"##,
            &[r##"1:60 partition 1 takes the rest of `a`, but is not the last partition"##],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": 2, "size": "rest"}, {"disk": "a", "partition": 1, "size": "1G"}]}"##,
            &[],
        );
    }
}
