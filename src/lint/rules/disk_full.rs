//! `disk-full`: the partitions do not fit on the disk.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::requests;
use crate::plan::layout::{self, DiskSize, LayoutError, SectorSize};
use crate::template::{Bytes, Change, Fix, LayoutEntry, Size, Spanned, Template};
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    name: "disk-full",
    summary: "the partitions do not fit on the disk",
    level: Level::Error,
    why: "Every partition gets exactly the requested size. The partition table takes 1 MiB at the start and at least 1 MiB at the end of the disk.",
    example: r#"{
    "DiskSize": "8G",
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    instead: r#"{
    "DiskSize": "9G",
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut disks: BTreeMap<&str, Vec<&LayoutEntry>> = BTreeMap::new();
    for entry in template.layout() {
        if let Some((disk, _)) = entry.place.key() {
            disks.entry(disk).or_default().push(entry);
        }
    }
    let size = match &template.disk_size {
        Some(Spanned { value: Ok(Size::Exact(bytes)), .. }) if template.is_virtual() => {
            DiskSize::Exactly(*bytes)
        }
        _ => DiskSize::Fit,
    };
    for (disk, entries) in disks {
        let requests = requests(entries.iter().copied());
        let size_of = |number: u32| {
            entries
                .iter()
                .find(|e| e.place.partition.as_ref().is_some_and(|p| p.value == number))
                .and_then(|e| Some(e.size.as_ref()?.span))
        };
        let disk_size = template.disk_size.as_ref().map(|size| size.span);
        match layout::solve(&requests, size, SectorSize::B512) {
            Err(LayoutError::Overflow(number)) => {
                let Some(span) = size_of(number) else { continue };
                out.report(
                    span,
                    format!("the partitions of `{}` exceed 2^63 bytes with this one", disk.escape_debug()),
                )
                .help("reduce the size of this partition");
            }
            Err(LayoutError::DoesNotFit { need, have }) => {
                let Some(span) = disk_size else { continue };
                let mebibytes = need.0.div_ceil(Bytes::MIB);
                out.report(
                    span,
                    format!("the partitions need {mebibytes} MiB, the disk has {} MiB", have.0 / Bytes::MIB),
                )
                .help("increase `DiskSize`; the partition table takes 1 MiB before the first and 1 MiB after the last partition")
                .fix(Fix::unsafe_(
                    "increase the disk size",
                    Change::string(span, &format!("{mebibytes}M")),
                ));
            }
            Err(LayoutError::NoRest { number, used, have }) => {
                let Some(span) = size_of(number) else { continue };
                let mut added = out.report(
                    span,
                    format!(
                        "no space left for partition {number}: the partitions before it end at {used} of {have}"
                    ),
                );
                if let Some(disk) = disk_size {
                    added = added.label(disk, "disk size");
                }
                added.help("increase the disk size or reduce another partition");
            }
            // Other layout errors have rules of their own.
            Ok(_) | Err(_) => {}
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
            r#"{"PartitionLayout": [{"disk": "a", "partition": 1, "size": "8388607T"}, {"disk": "a", "partition": 2, "size": "2T"}]}"#,
            &["1:111 the partitions of `a` exceed 2^63 bytes with this one"],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "DiskSize": "10M", "PartitionLayout": [{"disk": "a", "partition": 1, "size": "8M"}, {"disk": "a", "partition": 2, "size": "rest"}]}"#,
            &["1:154 no space left for partition 2: the partitions before it end at 9 MiB of 10 MiB"],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "DiskSize": "10M", "PartitionLayout": [{"disk": "a", "partition": 1, "size": "8M"}]}"#,
            &[],
        );
    }
}
