//! `unknown-value`: a value is not one of the allowed names.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Named, Names, Spanned, Template, entries, nearest};

pub(super) static RULE: Rule = Rule {
    name: "unknown-value",
    summary: "a value is not one of the allowed names",
    level: Level::Error,
    why: "The key accepts only certain names, which are case-sensitive. ister.py rejects anything else.",
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
    judge(template.destination.as_ref(), "destination type", out);
    judge(template.software_manager.as_ref(), "software manager", out);
    for entry in template.layout() {
        judge(entry.kind.as_ref(), "partition type", out);
    }
    for entry in template.filesystems() {
        judge(entry.kind.as_ref(), "filesystem type", out);
    }
    for format in entries(&template.formats) {
        judge(Some(format), "image format", out);
    }
}

/// Names that other programs use for the same thing.
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
    let report = out.report(*span, format!("unknown {what} `{}`", text.escape_debug())).help(format!(
        "{}use one of: {}",
        meant.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default(),
        names.join(", ")
    ));
    if let Some(name) = meant {
        // If only the case differs, the fix is certain.
        let fix = if name.eq_ignore_ascii_case(text) { Fix::safe } else { Fix::unsafe_ };
        report.fix(fix(format!("replace with `{name}`"), Change::string(*span, name)));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtaul", "PartitionLayout": [{"type": "efi"}], "FilesystemTypes": [{"type": "ext5"}]}"##,
            &[
                r##"1:21 unknown destination type `virtaul`"##,
                r##"1:61 unknown partition type `efi`"##,
                r##"1:99 unknown filesystem type `ext5`"##,
            ],
        );
        check_rule(&super::RULE, r##"{"DestinationType": "virtual", "SoftwareManager": "apt"}"##, &[]);
    }
}
