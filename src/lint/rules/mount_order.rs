//! `mount-order`: a mount point is listed before its parent.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Spanned, Template};
use std::collections::HashMap;

pub(super) static RULE: Rule = Rule {
    name: "mount-order",
    summary: "a mount point is listed before its parent",
    level: Level::Note,
    why: "A filesystem that is mounted later hides filesystems that were already mounted below it. ister always mounts parents first, but other programs and readers may rely on the order.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" },
        { "disk": "kvm.img", "partition": 5, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4" },
        { "disk": "kvm.img", "partition": 5, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv/data" },
        { "disk": "kvm.img", "partition": 5, "mount": "/srv" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 4, "size": "1G", "type": "linux" },
        { "disk": "kvm.img", "partition": 5, "size": "1G", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" },
        { "disk": "kvm.img", "partition": 4, "type": "ext4" },
        { "disk": "kvm.img", "partition": 5, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" },
        { "disk": "kvm.img", "partition": 4, "mount": "/srv" },
        { "disk": "kvm.img", "partition": 5, "mount": "/srv/data" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mounts: Vec<&Spanned<String>> =
        template.mounts().iter().filter_map(|entry| entry.mount.as_ref()).collect();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (index, mount) in mounts.iter().enumerate() {
        places.entry(&mount.value).or_insert(index);
    }
    for (index, mount) in mounts.iter().enumerate() {
        // `/` is the parent of everything and often listed last. The limit avoids work on absurdly deep paths.
        let parents = mount.match_indices('/').skip(1).take(32).map(|(at, _)| &mount.value[..at]);
        let later = parents.filter_map(|parent| places.get(parent)).find(|later| **later > index);
        if let Some(later) = later {
            let parent = mounts[*later];
            out.report(
                mount.span,
                format!(
                    "mount point `{}` is listed before its parent `{}`",
                    mount.value.escape_debug(),
                    parent.value.escape_debug()
                ),
            )
            .label(parent.span, "parent mount point")
            .help("list the parent first");
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
            r#"{"PartitionMountPoints": [{"mount": "/boot"}, {"mount": "/srv/a/b"}, {"mount": "/srv"}, {"mount": "/srv-2"}, {"mount": "/"}]}"#,
            &["1:57 mount point `/srv/a/b` is listed before its parent `/srv`"],
        );
    }
}
