//! `filesystem-without-partition`: a filesystem is for a partition that is not in the layout.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub static RULE: Rule = Rule {
    name: "filesystem-without-partition",
    summary: "a filesystem is for a partition that is not in the layout",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if template.layout.is_none() {
        return;
    }
    for entry in template.filesystems() {
        let Some((disk, number)) = entry.place.key() else { continue };
        if !template.layout().iter().any(|e| e.place.key() == Some((disk, number))) {
            out.report(
                entry.place.partition_span(),
                format!("partition {number} of `{disk}` is not in PartitionLayout"),
            )
            .help("add it to PartitionLayout, or remove this filesystem");
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
            r##"{"PartitionLayout": [{"disk": "a", "partition": 1}], "FilesystemTypes": [{"disk": "a", "partition": 2}]}"##,
            &[r##"1:101 partition 2 of `a` is not in PartitionLayout"##],
        );
        check_rule(
            &super::RULE,
            r##"{"PartitionLayout": [{"disk": "a", "partition": "1"}], "FilesystemTypes": [{"disk": "a", "partition": 1}]}"##,
            &[],
        );
    }
}
