//! `root-not-last`: the root partition of a cloud image is not the last partition.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "root-not-last",
    summary: "the root partition of a cloud image is not the last partition",
    level: Level::Note,
    why: "Cloud instances often have a larger disk than the image, and cloud-init grows the root partition to fill it. If another partition follows, the root partition cannot grow.",
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
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
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
        out.report(root.span(), "the root partition cannot grow because it is not the last one")
            .label(behind.span(), "this partition follows it")
            .help("give it the highest partition number on its disk");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let with = |bundle: &str, root: u32, swap: u32| {
            format!(
                r#"{{"SoftwareManager": "apt", "Bundles": ["{bundle}"], "PartitionLayout": [{{"disk": "a", "partition": {root}, "size": "8G", "type": "linux"}}, {{"disk": "a", "partition": {swap}, "size": "1G", "type": "swap"}}], "PartitionMountPoints": [{{"disk": "a", "partition": {root}, "mount": "/"}}]}}"#
            )
        };
        check_rule(
            &super::RULE,
            &with("os-cloudguest", 1, 2),
            &["1:105 the root partition cannot grow because it is not the last one"],
        );
        check_rule(&super::RULE, &with("os-cloudguest", 2, 1), &[]);
        check_rule(&super::RULE, &with("os-core", 1, 2), &[]);
    }
}
