//! `label-characters`: a vfat label has characters that mkfs rejects.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, FilesystemType, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "label-characters",
    summary: "a vfat label has characters that mkfs rejects",
    level: Level::Error,
    why: "mkfs.vfat fails for a label with one of these characters, and the build fails after everything is installed.",
    example: r#"{
    "FilesystemTypes": [
        { "disk": "kvm.img", "partition": 1, "type": "vfat", "label": "EFI*" },
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
        let Some(label) = &entry.label else { continue };
        if entry.kind.as_ref().and_then(|k| k.known()) != Some(FilesystemType::Vfat) {
            continue;
        }
        // Source: mkfs.fat 4.2, validate_volume_label.
        let refused = |c: char| "*?.,;:/\\|+=<>[]\"".contains(c) || !c.is_ascii();
        let what = match label.chars().find(|c| refused(*c)) {
            Some(c) => format!("`{c}` is not allowed"),
            None if label.starts_with(' ') => "starts with a space".to_owned(),
            None => continue,
        };
        let plain: String = label.trim_start().chars().filter(|c| !refused(*c)).collect();
        out.report(label.span, format!("invalid vfat label `{}`: {what}", label.value.escape_debug()))
            .help("use only letters, digits, spaces, `-` and `_`")
            .fix(Fix::unsafe_(
                format!("replace with `{}`", plain.escape_debug()),
                Change::string(label.span, &plain),
            ));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"type": "vfat", "label": " A"}, {"type": "vfat", "label": "A-B_C 1"}, {"type": "ext4", "label": "a.b"}]}"#,
            &["1:48 invalid vfat label ` A`: starts with a space"],
        );
    }
}
