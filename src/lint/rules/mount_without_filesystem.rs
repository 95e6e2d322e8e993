//! `mount-without-filesystem`: a mounted partition has no filesystem.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::lint::rules::filesystem_without_partition::report_misspelt_disk;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "mount-without-filesystem",
    summary: "a mounted partition has no filesystem",
    level: Level::Error,
    why: "Only a filesystem can be mounted. Usually a partition number or disk name was changed in one section only.",
    example: r#"{
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" }
    ]
}"#,
    instead: r#"{
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    template.mounts().iter().for_each(|entry| report_misspelt_disk(&entry.place, partitions, out));
    if !partitions.is_complete() || template.filesystems.is_none() {
        return;
    }
    for entry in template.mounts() {
        let Some((disk, number)) = entry.place.key() else { continue };
        if partitions.get(&entry.place).is_some_and(|p| p.filesystem.is_none()) {
            if template.layout.is_some() && partitions.get(&entry.place).is_some_and(|p| p.layout.is_none()) {
                out.report(
                    entry.place.partition_span(),
                    format!("mounted partition {number} of `{disk}` is not in PartitionLayout"),
                )
                .help("add the partition to PartitionLayout and its filesystem to FilesystemTypes, or remove this mount point");
                continue;
            }
            out.report(
                entry.place.partition_span(),
                format!("mounted partition {number} of `{disk}` has no filesystem"),
            )
            .help("add an entry for it to FilesystemTypes");
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
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1}], "PartitionMountPoints": [{"disk": "a", "partition": 2}]}"##,
            &[r##"1:106 mounted partition 2 of `a` has no filesystem"##],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1}], "FilesystemTypes": [], "PartitionMountPoints": [{"disk": "a", "partition": 4}]}"##,
            &[r##"1:129 mounted partition 4 of `a` is not in PartitionLayout"##],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1}], "PartitionMountPoints": [{"disk": "a", "partition": 1}]}"##,
            &[],
        );
    }
}
