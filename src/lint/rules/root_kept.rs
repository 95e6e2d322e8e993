//! `root-kept`: the root filesystem is not to be formatted.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "root-kept",
    summary: "the root filesystem is not to be formatted",
    level: Level::Error,
    why: "The content is installed into a fresh root filesystem. Keeping the old one would mix two systems.",
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
            out.report(span, "the filesystem of `/` cannot be kept")
                .help("remove `disable_format` here")
                .fix(Fix::unsafe_("remove `disable_format`", Change::Remove(span)));
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
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "disable_format": true}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"##,
            &[r##"1:70 the filesystem of `/` cannot be kept"##],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "disable_format": true}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/home"}]}"##,
            &[],
        );
    }
}
