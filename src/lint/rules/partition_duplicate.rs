//! `partition-duplicate`: a partition stands twice in a section.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Place, Template};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

pub(super) static RULE: Rule = Rule {
    name: "partition-duplicate",
    summary: "a partition stands twice in a section",
    level: Level::Error,
    why: "Two entries for one partition contradict each other, and nobody can tell which one was meant.",
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

fn section<'t>(name: &str, places: impl Iterator<Item = &'t Place>, out: &mut Findings) {
    let mut seen: HashMap<(&str, u32), &Place> = HashMap::new();
    for place in places {
        let Some((disk, number)) = place.key() else { continue };
        match seen.entry((disk, number)) {
            Entry::Occupied(earlier) => {
                out.report(
                    place.partition_span(),
                    format!("partition {number} of `{disk}` stands twice in {name}"),
                )
                .label(earlier.get().partition_span(), "first here")
                .help("remove one of them, or change its number");
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
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1}, {"disk": "a", "partition": "1"}]}"##,
            &[r##"1:80 partition 1 of `a` stands twice in PartitionLayout"##],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1}, {"disk": "b", "partition": 1}]}"##,
            &[],
        );
    }
}
