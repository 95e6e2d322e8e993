//! `mount-impossible`: a filesystem is mounted where it cannot be.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{FilesystemType, Template};

pub static RULE: Rule = Rule {
    name: "mount-impossible",
    summary: "a filesystem is mounted where it cannot be",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for entry in template.mounts() {
        let Some(mount) = &entry.mount else { continue };
        let kind = template
            .filesystems()
            .iter()
            .find(|f| f.place.key().is_some() && f.place.key() == entry.place.key())
            .and_then(|f| f.kind.as_ref()?.known());
        let first = mount.split('/').nth(1).unwrap_or_default();
        let fault = match (mount.as_str(), kind) {
            (_, Some(FilesystemType::Swap)) => "swap is not mounted: what lies there would be lost",
            ("/", Some(FilesystemType::Vfat)) => {
                "vfat cannot be the root: it knows no owners, modes and links"
            }
            ("/boot", Some(kind)) if kind != FilesystemType::Vfat && !template.boots_by_bios() => {
                "firmware reads the boot loader from here: UEFI needs vfat"
            }
            ("/etc", _) => "systemd needs /etc before it can mount anything",
            _ if matches!(first, "dev" | "proc" | "run" | "sys") => {
                "the running system mounts its own filesystem here"
            }
            _ => continue,
        };
        out.report(mount.span, format!("nothing can be mounted at `{}` like this: {fault}", mount.value));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "swap"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/home"}]}"##,
            &[
                r##"1:134 nothing can be mounted at `/home` like this: swap is not mounted: what lies there would be lost"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/boot"}]}"##,
            &[
                r##"1:134 nothing can be mounted at `/boot` like this: firmware reads the boot loader from here: UEFI needs vfat"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"LegacyBios": true, "FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/boot"}]}"##,
            &[],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionMountPoints": [{"mount": "/proc/x"}]}"##,
            &[
                r##"1:37 nothing can be mounted at `/proc/x` like this: the running system mounts its own filesystem here"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"##,
            &[],
        );
    }
}
