//! `filesystem-size`: a partition is larger than its filesystem supports.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::Template;
use crate::template::limits::of_filesystem;

pub(super) static RULE: Rule = Rule {
    name: "filesystem-size",
    summary: "a partition is larger than its filesystem supports",
    level: Level::Error,
    why: "A filesystem stores sector or block numbers in fields of fixed size: vfat is limited to 2 TiB, ext2, ext3 and swap to 16 TiB. Space beyond the limit is unused, or mkfs fails.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "3T", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(_: &Template, partitions: &Partitions, out: &mut Findings) {
    for partition in partitions.iter() {
        let (Some(size), Some(kind)) = (partition.size(), partition.filesystem_kind()) else { continue };
        let options = partition.filesystem.and_then(|filesystem| filesystem.options.as_ref());
        let Some(most) = of_filesystem(kind).size(options.map_or("", |options| options)) else { continue };
        if size > most {
            let span = partition.layout.and_then(|layout| layout.size.as_ref()).map(|size| size.span);
            let Some(span) = span else { continue };
            out.report(
                span,
                format!("{kind} supports up to {}, the partition has {}", most.exact(), size.exact()),
            )
            .help("reduce the size, or use ext4, xfs or btrfs");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let with = |size: &str, kind: &str| {
            format!(
                r#"{{"PartitionLayout": [{{"disk": "a", "partition": 1, "size": "{size}", "type": "linux"}}], "FilesystemTypes": [{{"disk": "a", "partition": 1, "type": "{kind}"}}]}}"#
            )
        };
        check_rule(
            &super::RULE,
            &with("2T", "vfat"),
            &["1:60 vfat supports up to 2199023255040 bytes, the partition has 2 TiB"],
        );
        check_rule(&super::RULE, &with("2097151M", "vfat"), &[]);
        check_rule(
            &super::RULE,
            &with("17T", "ext3"),
            &["1:60 ext3 supports up to 17179869180 KiB, the partition has 17 TiB"],
        );
        for kind in ["ext4", "xfs", "btrfs"] {
            check_rule(&super::RULE, &with("17T", kind), &[]);
        }
    }
}
