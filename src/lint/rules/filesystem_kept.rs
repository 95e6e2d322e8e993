//! `filesystem-kept`: a filesystem of a new image has `disable_format`.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "filesystem-kept",
    summary: "a filesystem of a new image has `disable_format`",
    level: Level::Warning,
    why: "`disable_format` preserves an existing filesystem. A new image has none, so the partition stays empty and mounting it fails.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat", "disable_format": true },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
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
    let new =
        template.is_virtual() && !template.disabled_new_partitions.as_ref().is_some_and(|kept| kept.value);
    for partition in partitions.iter().filter(|p| new && !p.is_at("/")) {
        if let Some(span) = partition.filesystem.and_then(|f| f.disable_format) {
            out.report(span, "`disable_format` in a new image, which has no existing filesystem")
                .help("remove `disable_format`")
                .fix(Fix::unsafe_("remove `disable_format`", Change::Remove(span)));
        }
    }
}
