//! `partition-duplicate`: a section has two entries for the same partition.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{PartitionRef, Template};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

pub(super) static RULE: Rule = Rule {
    name: "partition-duplicate",
    summary: "a section has two entries for the same partition",
    level: Level::Error,
    why: "Two entries for one partition contradict each other, and it is unclear which one applies.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 3, "type": "ext3" }
    ]
}"#,
    instead: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let layout = template.layout().iter().map(|e| &e.place);
    let filesystems = template.filesystems().iter().map(|e| &e.place);
    let mounts = template.mounts().iter().map(|e| &e.place);
    section("PartitionLayout", layout, out);
    section("FilesystemTypes", filesystems, out);
    section("PartitionMountPoints", mounts, out);
}

fn section<'t>(name: &str, places: impl Iterator<Item = &'t PartitionRef>, out: &mut Findings) {
    let mut seen: HashMap<(&str, u32), &PartitionRef> = HashMap::new();
    for place in places {
        let Some((disk, number)) = place.key() else { continue };
        match seen.entry((disk, number)) {
            Entry::Occupied(earlier) => {
                out.report(
                    place.partition_span(),
                    format!("duplicate entry for partition {number} of `{disk}` in {name}"),
                )
                .label(earlier.get().partition_span(), "first entry")
                .help("remove one of them, or change its partition number");
            }
            Entry::Vacant(entry) => {
                entry.insert(place);
            }
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
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1}, {"disk": "a", "partition": "1"}]}"##,
            &[r##"1:80 duplicate entry for partition 1 of `a` in PartitionLayout"##],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1}, {"disk": "b", "partition": 1}]}"##,
            &[],
        );
    }
}
