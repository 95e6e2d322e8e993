//! `disk-odd`: the name of an image file is odd.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "disk-odd",
    summary: "the name of an image file is odd",
    level: Level::Warning,
    why: "The image is created under this name in the output directory. An absolute path leaves that directory, a device's name suggests that the device is meant, and spaces and dashes trouble the scripts that publish the file.",
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
    let what = if disk.starts_with('/') {
        "an absolute path: the image is created outside the output directory"
    } else if disk.split('/').any(|part| part == "..") {
        "it leads out of the output directory"
    } else if name.starts_with('-') {
        "it starts with `-`, which programs take for an option"
    } else if name.contains(|c: char| c.is_whitespace() || "\"'$`\\*?;&|<>()[]{}!#~".contains(c)) {
        "it has spaces or signs that mean something to a shell"
    } else if device {
        "that is what a device is called; DestinationType is virtual, so it becomes a file"
    } else {
        return;
    };
    out.report(
        disk.span,
        format!("`{}` is an odd name for an image file: {what}", disk.value.escape_debug()),
    )
    .help("for example `kvm.img`");
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "/srv/kvm.img"}]}"#,
            &[
                "1:61 `/srv/kvm.img` is an odd name for an image file: an absolute path: the image is created outside the output directory",
            ],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "sda"}]}"#,
            &[
                "1:61 `sda` is an odd name for an image file: that is what a device is called; DestinationType is virtual, so it becomes a file",
            ],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "images/release-1.0_kvm.img"}]}"#,
            &[],
        );
    }
}
