//! `label-length`: a label is too long for its filesystem.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::limits::of_filesystem;
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "label-length",
    summary: "a label is too long for its filesystem",
    level: Level::Error,
    why: "The label field has a fixed size: 16 bytes in ext2, ext3 and ext4, 15 in swap, 11 in vfat, 12 in xfs, 255 in btrfs. mkfs rejects a longer label, or truncates it and lookups by label fail.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat", "label": "EFI-SYSTEM-PARTITION" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    instead: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat", "label": "EFI" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for entry in template.filesystems() {
        let (Some(kind), Some(label)) = (entry.kind.as_ref().and_then(|k| k.known()), &entry.label) else {
            continue;
        };
        let most = of_filesystem(kind).label;
        if label.len() > most {
            let cut: String = label
                .chars()
                .scan(0, |bytes, c| {
                    *bytes += c.len_utf8();
                    (*bytes <= most).then_some(c)
                })
                .collect();
            out.report(label.span, format!("the label has {} bytes, {kind} allows {most}", label.len())).fix(
                Fix::unsafe_(
                    format!("truncate to `{}`", cut.escape_debug()),
                    Change::string(label.span, &cut),
                ),
            );
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
            r#"{"FilesystemTypes": [{"type": "ext4", "label": "01234567890123456"}, {"type": "xfs", "label": "0123456789äb"}]}"#,
            &["1:48 the label has 17 bytes, ext4 allows 16", "1:95 the label has 13 bytes, xfs allows 12"],
        );
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"type": "ext4", "label": "0123456789012345"}, {"type": "vfat", "label": "01234567890"}]}"#,
            &[],
        );
    }
}
