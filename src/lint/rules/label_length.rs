//! `label-length`: a label is too long for its filesystem.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::limits::of_filesystem;
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "label-length",
    summary: "a label is too long for its filesystem",
    level: Level::Error,
    why: "A filesystem has a fixed place for its label: 16 bytes in ext2, ext3 and ext4, 15 in swap, 11 in vfat, 12 in xfs, 255 in btrfs. mkfs refuses a longer one, or cuts it and the lookup by label fails.",
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
        let room = of_filesystem(kind).label;
        if label.len() > room {
            let cut: String = label
                .chars()
                .scan(0, |bytes, c| {
                    *bytes += c.len_utf8();
                    (*bytes <= room).then_some(c)
                })
                .collect();
            out.report(label.span, format!("a label of {} bytes: {kind} has room for {room}", label.len()))
                .fix(Fix::unsafe_(
                    format!("cut it to `{}`", cut.escape_debug()),
                    Change::string(label.span, &cut),
                ));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"type": "ext4", "label": "01234567890123456"}, {"type": "xfs", "label": "0123456789äb"}]}"#,
            &[
                "1:48 a label of 17 bytes: ext4 has room for 16",
                "1:95 a label of 13 bytes: xfs has room for 12",
            ],
        );
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"type": "ext4", "label": "0123456789012345"}, {"type": "vfat", "label": "01234567890"}]}"#,
            &[],
        );
    }
}
