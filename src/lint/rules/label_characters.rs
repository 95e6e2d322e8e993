//! `label-characters`: a vfat label has characters that mkfs refuses.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, FilesystemType, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "label-characters",
    summary: "a vfat label has characters that mkfs refuses",
    level: Level::Error,
    why: "mkfs.vfat ends with an error for a label with one of these characters, and the build with it, when everything is installed already.",
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
            Some(c) => format!("`{c}` cannot stand in it"),
            None if label.starts_with(' ') => "it begins with a space".to_owned(),
            None => continue,
        };
        let plain: String = label.trim_start().chars().filter(|c| !refused(*c)).collect();
        out.report(label.span, format!("`{}` is no vfat label: {what}", label.value.escape_debug()))
            .help("letters, digits, spaces, `-` and `_`")
            .fix(Fix::unsafe_(
                format!("write `{}`", plain.escape_debug()),
                Change::string(label.span, &plain),
            ));
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"FilesystemTypes": [{"type": "vfat", "label": " A"}, {"type": "vfat", "label": "A-B_C 1"}, {"type": "ext4", "label": "a.b"}]}"#,
            &["1:48 ` A` is no vfat label: it begins with a space"],
        );
    }
}
