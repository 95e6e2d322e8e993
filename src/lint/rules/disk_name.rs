//! `disk-name`: the name of an image file is invalid.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "disk-name",
    summary: "the name of an image file is invalid",
    level: Level::Error,
    why: "For a virtual target, `disk` is the path of the image file to create. A path that ends in `/`, `.` or `..` is a directory.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "images/", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "images/", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "images/", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "images/", "partition": 1, "type": "vfat" },
        { "disk": "images/", "partition": 2, "type": "swap" },
        { "disk": "images/", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "images/", "partition": 1, "mount": "/boot" },
        { "disk": "images/", "partition": 3, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if !template.is_virtual() {
        return;
    }
    for disk in template.places().filter_map(|place| place.disk.as_ref()) {
        let name = disk.rsplit('/').next().unwrap_or_default();
        if matches!(name, "" | "." | "..") || name.contains(char::is_control) {
            out.report(disk.span, format!("invalid image file name `{}`", disk.value.escape_debug()))
                .help("use a plain file name, for example `kvm.img`");
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
            r##"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a/"}]}"##,
            &[r##"1:61 invalid image file name `a/`"##],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a.img"}]}"##,
            &[],
        );
    }
}
