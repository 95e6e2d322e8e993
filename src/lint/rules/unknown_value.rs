//! `unknown-value`: a value is none of the names that are known there.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Named, Names, Spanned, Template, entries, nearest};

pub(super) static RULE: Rule = Rule {
    name: "unknown-value",
    summary: "a value is none of the names that are known there",
    level: Level::Error,
    why: "The value is one of a few names, spelt exactly like this. ister.py refuses anything else.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "fat32" },
        { "disk": "kvm.img", "partition": 2, "type": "swap" },
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
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    judge(template.destination.as_ref(), "a destination type", out);
    judge(template.software_manager.as_ref(), "a software manager", out);
    for entry in template.layout() {
        judge(entry.kind.as_ref(), "a partition type", out);
    }
    for entry in template.filesystems() {
        judge(entry.kind.as_ref(), "a filesystem type", out);
    }
    for format in entries(&template.formats) {
        judge(Some(format), "an image format", out);
    }
}

/// What others call the same.
const ALIASES: &[(&str, &str)] = &[
    ("fat", "vfat"),
    ("fat16", "vfat"),
    ("fat32", "vfat"),
    ("msdos", "vfat"),
    ("esp", "EFI"),
    ("linux-swap", "swap"),
    ("image", "virtual"),
    ("file", "virtual"),
    ("disk", "physical"),
];

fn judge<T: Names>(value: Option<&Spanned<Named<T>>>, what: &str, out: &mut Findings) {
    let Some(Spanned { value: Named::Unknown(text), span }) = value else { return };
    let names: Vec<&str> = T::ALL.iter().map(|(name, _)| *name).collect();
    let same = ALIASES.iter().find(|(alias, name)| alias.eq_ignore_ascii_case(text) && names.contains(name));
    let meant = same.map(|(_, name)| *name).or_else(|| nearest(text, &names));
    let report = out.report(*span, format!("`{}` is not {what}", text.escape_debug())).help(format!(
        "{}known: {}",
        meant.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default(),
        names.join(", ")
    ));
    if let Some(name) = meant {
        // Where only the case differs, nothing else can have been meant.
        let fix = if name.eq_ignore_ascii_case(text) { Fix::safe } else { Fix::unsafe_ };
        report.fix(fix(format!("write `{name}`"), Change::string(*span, name)));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtaul", "PartitionLayout": [{"type": "efi"}], "FilesystemTypes": [{"type": "ext5"}]}"##,
            &[
                r##"1:21 `virtaul` is not a destination type"##,
                r##"1:61 `efi` is not a partition type"##,
                r##"1:99 `ext5` is not a filesystem type"##,
            ],
        );
        check_rule(&super::RULE, r##"{"DestinationType": "virtual", "SoftwareManager": "apt"}"##, &[]);
    }
}
