//! `disk-several`: a virtual target has several disks.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "disk-several",
    summary: "a virtual target has several disks",
    level: Level::Error,
    why: "A virtual target is one image file with one partition table. Entries for another disk would be silently left out of it.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" },
        { "disk": "swap.img", "partition": 1, "size": "32M", "type": "swap" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4" },
        { "disk": "swap.img", "partition": 1, "type": "swap" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 3, "size": "32M", "type": "swap" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4" },
        { "disk": "kvm.img", "partition": 3, "type": "swap" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if !template.is_virtual() {
        return;
    }
    let mut disks = template.layout().iter().filter_map(|entry| entry.place.disk.as_ref());
    let Some(first) = disks.next() else { return };
    if let Some(other) = disks.find(|disk| disk.value != first.value) {
        out.report(
            other.span,
            format!("a virtual target is one disk, but `{}` is a second one", other.value),
        )
        .label(first.span, "the first one")
        .help("one image file per template; use the same `disk` everywhere");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a"}, {"disk": "b"}]}"##,
            &[r##"1:76 a virtual target is one disk, but `b` is a second one"##],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "physical", "PartitionLayout": [{"disk": "a"}, {"disk": "b"}]}"##,
            &[],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a"}, {"disk": "a"}]}"##,
            &[],
        );
    }
}
