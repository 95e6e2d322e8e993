//! `disk-size-missing`: a partition takes the rest of a virtual disk of unknown size.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Size, Template};

pub(super) static RULE: Rule = Rule {
    name: "disk-size-missing",
    summary: "a partition takes the rest of a virtual disk of unknown size",
    level: Level::Warning,
    why: "A virtual disk has no predefined size. Without DiskSize, the rest is the size of the content plus headroom, which differs between releases, and `ister plan` needs `--disk-size`.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "rest", "type": "linux" }
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
    if !template.is_virtual() || template.disk_size.is_some() {
        return;
    }
    for size in template.layout().iter().filter_map(|entry| entry.size.as_ref()) {
        if size.value == Ok(Size::Rest) {
            out.report(size.span, "`rest` of a disk of unknown size")
                .help("add `\"DiskSize\": \"10G\"`, or use `--disk-size`")
                .fix(Fix::unsafe_(
                    "add `\"DiskSize\": \"10G\"`",
                    Change::AddKey {
                        object: template.span,
                        key: "DiskSize".to_owned(),
                        value: "\"10G\"".to_owned(),
                    },
                ));
            return;
        }
    }
}
