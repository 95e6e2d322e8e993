//! `mount-path`: a mount point is not a normalized absolute path.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};
use std::collections::HashSet;

pub(super) static RULE: Rule = Rule {
    name: "mount-path",
    summary: "a mount point is not a normalized absolute path",
    level: Level::Error,
    why: "A mount point is a directory in the image. Programs interpret relative paths, `..` and repeated slashes differently.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv/" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let taken: HashSet<&str> =
        template.mounts().iter().filter_map(|m| Some(m.mount.as_ref()?.as_str())).collect();
    for mount in template.mounts().iter().filter_map(|entry| entry.mount.as_ref()) {
        let parts = || mount.split('/').skip(1);
        let fault = if mount.is_empty() {
            "empty"
        } else if !mount.starts_with('/') {
            "does not start with `/`"
        } else if parts().any(|part| matches!(part, "." | "..")) {
            "contains `.` or `..`"
        } else if mount.value != "/" && parts().any(str::is_empty) {
            "repeated or trailing `/`"
        } else if mount.contains(char::is_control) {
            "contains a control character"
        } else {
            continue;
        };
        let report =
            out.report(mount.span, format!("invalid mount point `{}`: {fault}", mount.value.escape_debug()));
        // Only redundant slashes have an obvious fix.
        let parts: Vec<&str> = mount.split('/').filter(|part| !part.is_empty()).collect();
        let clean = format!("/{}", parts.join("/"));
        if mount.starts_with('/') && fault == "repeated or trailing `/`" && !taken.contains(clean.as_str()) {
            report.help(format!("replace with `{}`", clean.escape_debug())).fix(Fix::safe(
                format!("replace with `{}`", clean.escape_debug()),
                Change::string(mount.span, &clean),
            ));
        } else {
            report.help("use an absolute path, for example `/srv`");
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
            r##"{"PartitionMountPoints": [{"mount": "home"}, {"mount": "/a/../b"}, {"mount": "/a/"}]}"##,
            &[
                r##"1:37 invalid mount point `home`: does not start with `/`"##,
                r##"1:56 invalid mount point `/a/../b`: contains `.` or `..`"##,
                r##"1:78 invalid mount point `/a/`: repeated or trailing `/`"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionMountPoints": [{"mount": "/"}, {"mount": "/var/lib"}]}"##,
            &[],
        );
    }
}
