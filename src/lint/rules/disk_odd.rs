//! `disk-odd`: the name of an image file is unusual.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "disk-odd",
    summary: "the name of an image file is unusual",
    level: Level::Warning,
    why: "The image is created under this name in the output directory. The directories of a path are ignored, a device name suggests that the device is intended, and scripts often mishandle spaces and leading dashes.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "my image.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "my image.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "my image.img", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "my image.img", "partition": 1, "type": "vfat" },
        { "disk": "my image.img", "partition": 2, "type": "swap" },
        { "disk": "my image.img", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "my image.img", "partition": 1, "mount": "/boot" },
        { "disk": "my image.img", "partition": 3, "mount": "/" }
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
    let Some(disk) = template.layout().iter().find_map(|entry| entry.place.disk.as_ref()) else { return };
    let name = disk.rsplit('/').next().unwrap_or_default();
    let device = ["sd", "hd", "vd", "nvme", "mmcblk", "loop"].iter().any(|prefix| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.len() <= 3 && !rest.contains('.'))
    });
    let is_device = device || disk.starts_with("/dev/");
    let what = if is_device {
        "device name, but DestinationType is virtual"
    } else if disk.starts_with('/') || disk.split('/').any(|part| part == "..") {
        "only its last part is used, in the output directory"
    } else if name.starts_with('-') {
        "starts with `-`, which programs parse as an option"
    } else if name.contains(|c: char| c.is_whitespace() || "\"'$`\\*?;&|<>()[]{}!#~".contains(c)) {
        "contains spaces or shell metacharacters"
    } else {
        return;
    };
    out.report(disk.span, format!("unusual image file name `{}`: {what}", disk.value.escape_debug()))
        .help(match is_device {
            true => "did you mean `\"DestinationType\": \"physical\"`? Otherwise use a file name, for example `kvm.img`",
            false => "use a plain file name, for example `kvm.img`; `ister build -o DIR` selects the directory",
        });
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "/srv/kvm.img"}]}"#,
            &[
                "1:61 unusual image file name `/srv/kvm.img`: only its last part is used, in the output directory",
            ],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "sda"}]}"#,
            &["1:61 unusual image file name `sda`: device name, but DestinationType is virtual"],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "/dev/sda"}]}"#,
            &["1:61 unusual image file name `/dev/sda`: device name, but DestinationType is virtual"],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "images/release-1.0_kvm.img"}]}"#,
            &[],
        );
    }
}
