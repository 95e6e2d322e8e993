//! `disk-name`: an image file has no usable name.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub static RULE: Rule = Rule {
    name: "disk-name",
    summary: "an image file has no usable name",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if !template.is_virtual() {
        return;
    }
    for entry in template.layout() {
        let Some(disk) = &entry.place.disk else { continue };
        let name = disk.rsplit('/').next().unwrap_or_default();
        if matches!(name, "" | "." | "..") || name.contains(char::is_control) {
            out.report(disk.span, format!("`{}` is no name for an image file", disk.value.escape_debug()))
                .help("a plain file name, for example `kvm.img`");
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
            r##"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a/"}]}"##,
            &[r##"1:61 `a/` is no name for an image file"##],
        );
        check_rule(
            &super::RULE,
            r##"{"DestinationType": "virtual", "PartitionLayout": [{"disk": "a.img"}]}"##,
            &[],
        );
    }
}
