//! `root-kept`: the root filesystem has `disable_format`.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "root-kept",
    summary: "the root filesystem has `disable_format`",
    level: Level::Error,
    why: "The content is installed into a new root filesystem. Preserving an existing one would mix two systems.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4", "disable_format": true }
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
    let root = template.mounts().iter().find(|entry| entry.mount.as_ref().is_some_and(|m| m.value == "/"));
    let Some(key) = root.and_then(|entry| entry.place.key()) else { return };
    for entry in template.filesystems() {
        if let (Some(span), true) = (entry.disable_format, entry.place.key() == Some(key)) {
            out.report(span, "the filesystem of `/` cannot be preserved")
                .help("remove `disable_format`")
                .fix(Fix::unsafe_("remove `disable_format`", Change::Remove(span)));
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
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "disable_format": true}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"##,
            &[r##"1:70 the filesystem of `/` cannot be preserved"##],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "disable_format": true}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/home"}]}"##,
            &[],
        );
    }
}
