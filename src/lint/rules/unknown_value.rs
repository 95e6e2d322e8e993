//! `unknown-value`: a value is none of the names that are known there.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Named, Names, Spanned, Template, entries, nearest};

pub static RULE: Rule = Rule {
    name: "unknown-value",
    summary: "a value is none of the names that are known there",
    level: Level::Error,
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

fn judge<T: Names>(value: Option<&Spanned<Named<T>>>, what: &str, out: &mut Findings) {
    let Some(Spanned { value: Named::Unknown(text), span }) = value else { return };
    let names: Vec<&str> = T::ALL.iter().map(|(name, _)| *name).collect();
    let meant = nearest(text, &names).map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    out.report(*span, format!("`{}` is not {what}", text.escape_debug()))
        .help(format!("{meant}known: {}", names.join(", ")));
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
