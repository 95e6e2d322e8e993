//! `label-case`: a vfat label has lower-case letters.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, FilesystemType, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "label-case",
    summary: "a vfat label has lower-case letters",
    level: Level::Warning,
    why: "FAT labels are in upper case by convention. mkfs.vfat prints a warning, some systems display another label or none, and DOS tools cannot change it.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat", "label": "boot" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    instead: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat", "label": "BOOT" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
        { "disk": "kvm.img", "partition": 3, "type": "ext4" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for entry in template.filesystems() {
        let Some(label) = &entry.label else { continue };
        let vfat = entry.kind.as_ref().and_then(|k| k.known()) == Some(FilesystemType::Vfat);
        let upper = label.to_ascii_uppercase();
        if vfat && upper != label.value {
            out.report(
                label.span,
                format!("the vfat label `{}` has lower-case letters", label.value.escape_debug()),
            )
            .help("write the label in upper case")
            .fix(Fix::unsafe_(
                format!("replace with `{}`", upper.escape_debug()),
                Change::string(label.span, &upper),
            ));
        }
    }
}
