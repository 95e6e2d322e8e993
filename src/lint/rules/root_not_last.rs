//! `root-not-last`: the root filesystem of a cloud image cannot fill a larger disk.

use crate::lint::content::Content;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "root-not-last",
    summary: "the root partition of a cloud image is not the last one",
    level: Level::Note,
    why: "Clouds give an instance a larger disk than the image has, and cloud-init makes the root partition fill it. A partition behind it is in the way, and the root stays as small as it is.",
    example: r#"{
    "Bundles": ["kernel-kvm", "os-cloudguest", "os-core"],
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "8G", "type": "linux" },
        { "disk": "kvm.img", "partition": 3, "size": "32M", "type": "swap" }
    ],
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "ext4" },
        { "disk": "kvm.img", "partition": 3, "type": "swap" }
    ],
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 2, "mount": "/" }
    ]
}"#,
    instead: r#"{
    "Bundles": ["kernel-kvm", "os-cloudguest", "os-core"],
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "8G", "type": "linux" }
    ]
}"#,
    check: Check::Content(check),
};

fn check(template: &Template, content: &Content, out: &mut Findings) {
    let is_cloud = content.has_package("cloud-init")
        || template.bundles().iter().any(|bundle| bundle.value.starts_with("os-cloudguest"));
    if !is_cloud || template.is_physical() {
        return;
    }
    let partitions = Partitions::of(template);
    let Some(root) = partitions.at("/") else { return };
    let is_behind = |number: u32| number > root.number;
    let behind = partitions.iter().find(|p| p.disk == root.disk && p.layout.is_some() && is_behind(p.number));
    if let Some(behind) = behind {
        out.report(root.span(), "the root partition cannot grow: it is not the last one")
            .label(behind.span(), "in the way")
            .help("give it the highest number of its disk");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        let with = |bundle: &str, root: u32, swap: u32| {
            format!(
                r#"{{"SoftwareManager": "apt", "Bundles": ["{bundle}"], "PartitionLayout": [{{"disk": "a", "partition": {root}, "size": "8G", "type": "linux"}}, {{"disk": "a", "partition": {swap}, "size": "1G", "type": "swap"}}], "PartitionMountPoints": [{{"disk": "a", "partition": {root}, "mount": "/"}}]}}"#
            )
        };
        check_rule(
            &super::RULE,
            &with("os-cloudguest", 1, 2),
            &["1:105 the root partition cannot grow: it is not the last one"],
        );
        check_rule(&super::RULE, &with("os-cloudguest", 2, 1), &[]);
        check_rule(&super::RULE, &with("os-core", 1, 2), &[]);
    }
}
