//! `swap-filesystem`: a swap partition is not formatted as swap, or another partition is.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::lint::partitions::Partitions;
use crate::template::{Change, FilesystemType, Fix, PartitionType, Template, json_string};

pub(super) static RULE: Rule = Rule {
    name: "swap-filesystem",
    summary: "a swap partition is not formatted as swap, or another partition is",
    level: Level::Warning,
    why: "systemd activates swap space on partitions of type swap. A swap partition that is not formatted as swap, or swap space on a partition of another type, is not used.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    instead: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    check: Check::Partitions(check),
};

fn check(template: &Template, partitions: &Partitions, out: &mut Findings) {
    if !partitions.is_complete() {
        return;
    }
    if template.filesystems.is_none() {
        return;
    }
    for partition in partitions.iter() {
        let (Some(layout), swap) = (partition.layout, partition.kind() == Some(PartitionType::Swap)) else {
            continue;
        };
        let kind = partition.filesystem_kind();
        match (swap, partition.filesystem) {
            (true, None) => {
                let mut added = out.report(
                    partition.span(),
                    format!("swap partition {} is not formatted", partition.number),
                );
                if let Some(section) = &template.filesystems {
                    let item = format!(
                        "{{ \"disk\": {}, \"partition\": {}, \"type\": \"swap\" }}",
                        json_string(partition.disk),
                        partition.number
                    );
                    added = added.fix(Fix::unsafe_(
                        "format it as swap",
                        Change::AddItem { array: section.span, item },
                    ));
                }
                added.help("add an entry with the type `swap` for it to FilesystemTypes");
            }
            (true, Some(filesystem)) if kind.is_some_and(|kind| kind != FilesystemType::Swap) => {
                let Some(kind) = &filesystem.kind else { continue };
                out.report(
                    kind.span,
                    format!("swap partition {} is not formatted as swap", partition.number),
                )
                .fix(Fix::unsafe_("format it as swap", Change::string(kind.span, "swap")));
            }
            (false, Some(filesystem)) if kind == Some(FilesystemType::Swap) && partition.kind().is_some() => {
                let span = layout.kind.as_ref().map_or(layout.place.span, |k| k.span);
                let mut added = out.report(
                    span,
                    format!(
                        "partition {} is formatted as swap, but is not a swap partition",
                        partition.number
                    ),
                );
                if let Some(kind) = &filesystem.kind {
                    added = added.label(kind.span, "formatted as swap here");
                }
                added.fix(Fix::unsafe_("change the partition type to `swap`", Change::string(span, "swap")));
            }
            _ => {}
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
            r#"{"PartitionLayout": [{"disk": "a", "partition": 1, "type": "swap"}, {"disk": "a", "partition": 2, "type": "linux"}], "FilesystemTypes": [{"disk": "a", "partition": 1, "type": "ext4"}, {"disk": "a", "partition": 2, "type": "swap"}]}"#,
            &[
                "1:107 partition 2 is formatted as swap, but is not a swap partition",
                "1:176 swap partition 1 is not formatted as swap",
            ],
        );
        check_rule(
            &super::RULE,
            r#"{"PartitionLayout": [{"disk": "a", "partition": 1, "type": "swap"}], "FilesystemTypes": [{"disk": "a", "partition": 1, "type": "swap"}]}"#,
            &[],
        );
    }
}
