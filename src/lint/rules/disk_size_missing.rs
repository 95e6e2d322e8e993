//! `disk-size-missing`: a partition takes the rest of a virtual disk whose size is not given.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Size, Template};

pub(super) static RULE: Rule = Rule {
    name: "disk-size-missing",
    summary: "a partition takes the rest of a virtual disk whose size is not given",
    level: Level::Warning,
    why: "A virtual disk has no size of its own. Without DiskSize the rest is what the content needs and some room, which changes with every release; `ister plan` and `build` ask for `--disk-size`.",
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
            out.report(size.span, "the rest of a disk whose size is not given")
                .help("add `DiskSize`, for example \"10G\", or give `--disk-size`")
                .fix(Fix::unsafe_(
                    "add `DiskSize`: \"10G\"",
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
