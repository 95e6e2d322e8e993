//! `filesystem-without-partition`: a filesystem refers to a partition that is not in the layout.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Change, Fix, PartitionRef, Template};

pub(super) static RULE: Rule = Rule {
    name: "filesystem-without-partition",
    summary: "a filesystem refers to a partition that is not in the layout",
    level: Level::Error,
    why: "A filesystem cannot be created on a partition that is not in PartitionLayout. Usually a partition number or disk name was changed in one section only.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4" }
    ]
}"#,
    instead: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    template.filesystems().iter().for_each(|entry| report_misspelt_disk(&entry.place, partitions, out));
    if !partitions.is_complete() || template.layout.is_none() {
        return;
    }
    for entry in template.filesystems() {
        let Some((disk, number)) = entry.place.key() else { continue };
        if partitions.get(&entry.place).is_some_and(|p| p.layout.is_none()) {
            out.report(
                entry.place.partition_span(),
                format!("partition {number} of `{disk}` is not in PartitionLayout"),
            )
            .help("add the partition to PartitionLayout, or remove this filesystem")
            .fix(Fix::unsafe_("remove this filesystem", Change::Remove(entry.place.span)));
        }
    }
}

/// Reports the misspelt disk of an entry of FilesystemTypes or PartitionMountPoints.
pub(super) fn report_misspelt_disk(place: &PartitionRef, partitions: &Partitions, out: &mut Findings) {
    let (Some(meant), Some(disk)) = (partitions.meant_disk(place), &place.disk) else { return };
    out.report(disk.span, format!("the disk `{}` is not in PartitionLayout", disk.value))
        .help(format!("did you mean `{meant}`?"))
        .fix(Fix::unsafe_(format!("replace with `{meant}`"), Change::string(disk.span, meant)));
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1}], "FilesystemTypes": [{"disk": "a", "partition": 2}]}"##,
            &[r##"1:101 partition 2 of `a` is not in PartitionLayout"##],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "web.img", "partition": 1}], "FilesystemTypes": [{"disk": "wed.img", "partition": 1}]}"##,
            &[r##"1:89 the disk `wed.img` is not in PartitionLayout"##],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": "1"}], "FilesystemTypes": [{"disk": "a", "partition": 1}]}"##,
            &[],
        );
    }
}
