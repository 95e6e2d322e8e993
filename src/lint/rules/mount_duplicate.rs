//! `mount-duplicate`: a mount point is used twice.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::{Partition, Partitions};
use crate::template::{ESP_AS_BOOT, Span, Template, boot_method};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

pub(super) static RULE: Rule = Rule {
    name: "mount-duplicate",
    summary: "a mount point is used twice",
    level: Level::Error,
    why: "The second filesystem is mounted over the first one and hides its files.",
    example: r#"{
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/" }
    ],
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
    ]
}"#,
    instead: r#"{
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/home" }
    ],
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
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    let esp = boot_method(template).and_then(|method| method.esp);
    if let Some(esp) = esp.filter(|esp| *esp != ESP_AS_BOOT) {
        let others = partitions.iter().filter(|partition| !partition.is_efi());
        for mount in
            others.filter_map(Partition::mount_path).filter(|mount| mount.trim_end_matches('/') == esp)
        {
            out.report(mount.span, format!("the EFI partition is mounted at `{}`", mount.value))
                .help("use another mount point; in the template, `/boot` stands for the EFI partition");
        }
    }
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for mount in template.mounts().iter().filter_map(|entry| entry.mount.as_ref()) {
        match seen.entry(&mount.value) {
            Entry::Occupied(earlier) => {
                out.report(mount.span, format!("duplicate mount point `{}`", mount.value))
                    .label(*earlier.get(), "first used here")
                    .help("give each filesystem a unique mount point");
            }
            Entry::Vacant(entry) => {
                entry.insert(mount.span);
            }
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
            r##"{"PartitionMountPoints": [{"mount": "/"}, {"mount": "/"}]}"##,
            &[r##"1:53 duplicate mount point `/`"##],
        );
        check_rule(&super::RULE, r##"{"PartitionMountPoints": [{"mount": "/"}, {"mount": "/home"}]}"##, &[]);
        let on_esp = include_str!("../../../vm-tests/kvm/template.json")
            .replace(
                r#""partition": 2, "size": "32M", "type": "swap""#,
                r#""partition": 2, "size": "32M", "type": "linux""#,
            )
            .replace(
                r#""mount": "/boot" },"#,
                r#""mount": "/boot" }, { "disk": "kvm.img", "partition": 2, "mount": "/efi" },"#,
            );
        check_rule(&super::RULE, &on_esp, &["18:112 the EFI partition is mounted at `/efi`"]);
    }
}
