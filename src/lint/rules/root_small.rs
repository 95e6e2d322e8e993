//! `root-small`: the root filesystem is too small for its bundles.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Bytes, Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "root-small",
    summary: "the root filesystem is too small for its bundles",
    level: Level::Warning,
    why: "The installed packages are larger than the filesystem. The build would fail after everything is downloaded and unpacked.",
    example: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "256M", "type": "linux" }
    ]
}"#,
    instead: r#"{
    "PartitionLayout": [
        { "disk": "kvm.img", "partition": 1, "size": "512M", "type": "EFI" },
        { "disk": "kvm.img", "partition": 2, "size": "32M", "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "size": "2G", "type": "linux" }
    ]
}"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    if !content.is_apt() {
        return;
    }
    let partitions = Partitions::of(template);
    let Some(root) = partitions.at("/") else { return };
    // With a separate /usr, most files are not on the root filesystem.
    if partitions.at("/usr").is_some() {
        return;
    }
    let (Some(size), Some(entry)) = (root.size(), root.layout.and_then(|l| l.size.as_ref())) else { return };
    let need = content.least_size();
    if size < need {
        out.report(
            entry.span,
            format!("the root partition of {size} is too small for its bundles, which need at least {need}"),
        )
        .help("increase its size, or remove bundles")
        .fix(Fix::unsafe_(
            "set it to twice the needed size",
            Change::string(entry.span, &format!("{}M", (need.0 * 2).div_ceil(Bytes::MIB))),
        ));
    }
}
