//! `disk-device`: a physical disk is not a device name under /dev.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "disk-device",
    summary: "a physical disk is not a device name under /dev",
    level: Level::Error,
    why: "For a physical target, `disk` is the name of a whole disk under /dev, without `/dev/`. The partition table is written to that device; with the name of a partition, the table would be written into the partition.",
    example: r#"{
    "DestinationType": "physical",
    "PartitionLayout": [
        { "disk": "/dev/sda", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "/dev/sda", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "/dev/sda", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "/dev/sda", "partition": 1, "type": "vfat" },
        { "disk": "/dev/sda", "partition": 2, "type": "swap" },
        { "disk": "/dev/sda", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "/dev/sda", "partition": 1, "mount": "/boot" },
        { "disk": "/dev/sda", "partition": 3, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "DestinationType": "physical",
    "PartitionLayout": [
        { "disk": "sda", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "sda", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "sda", "partition": 3, "size": "8G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "sda", "partition": 1, "type": "vfat" },
        { "disk": "sda", "partition": 2, "type": "swap" },
        { "disk": "sda", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "sda", "partition": 1, "mount": "/boot" },
        { "disk": "sda", "partition": 3, "mount": "/" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if !template.is_physical() {
        return;
    }
    for disk in template.places().filter_map(|place| place.disk.as_ref()) {
        if let Some(name) = disk.strip_prefix("/dev/").filter(|name| !name.is_empty() && !name.contains('/'))
        {
            out.report(disk.span, format!("disk name `{}` starts with `/dev/`", disk.value))
                .fix(Fix::safe(format!("replace with `{name}`"), Change::string(disk.span, name)));
        } else if disk.is_empty()
            || disk.contains('/')
            || disk.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            out.report(disk.span, format!("invalid disk name `{}`", disk.value.escape_debug()))
                .help("use the name of a device under /dev, for example `sda`, `nvme0n1` or `mmcblk0`");
        } else if let Some(whole) = whole_disk(disk) {
            out.report(disk.span, format!("`{}` is a partition, not a disk", disk.value))
                .help(format!("the partition table is written to the whole disk: use `{whole}`"))
                .fix(Fix::unsafe_(format!("replace with `{whole}`"), Change::string(disk.span, whole)));
        }
    }
}

/// The disk of a partition's device name: `sda` for `sda1`, `nvme0n1` for `nvme0n1p2`. `None` if the name is not a
/// partition. Source: Linux, Documentation/admin-guide/devices.rst.
fn whole_disk(name: &str) -> Option<&str> {
    let whole = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if whole.len() == name.len() {
        return None;
    }
    // sda1, hda1, vda1, xvda1: letters, then digits.
    if ["sd", "hd", "vd", "xvd", "dasd"].iter().any(|prefix| whole.starts_with(prefix)) {
        return Some(whole).filter(|whole| whole.chars().all(|c| c.is_ascii_lowercase()));
    }
    // nvme0n1p1, mmcblk0p1, loop0p1: a name that ends in a digit, then `p` and digits.
    let disk = whole.strip_suffix('p')?;
    (["nvme", "mmcblk", "loop", "nbd", "md", "pmem"].iter().any(|prefix| disk.starts_with(prefix))
        && disk.ends_with(|c: char| c.is_ascii_digit()))
    .then_some(disk)
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "physical", "PartitionLayout": [{"disk": "sda1"}, {"disk": "nvme0n1p2"}, {"disk": "a/b"}]}"#,
            &[
                "1:62 `sda1` is a partition, not a disk",
                "1:80 `nvme0n1p2` is a partition, not a disk",
                "1:103 invalid disk name `a/b`",
            ],
        );
        check_rule(
            &super::RULE,
            r#"{"DestinationType": "physical", "PartitionLayout": [{"disk": "sda"}, {"disk": "nvme0n1"}, {"disk": "loop0"}, {"disk": "md0"}, {"disk": "mmcblk1"}]}"#,
            &[],
        );
    }
}
