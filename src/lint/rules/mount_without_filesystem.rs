//! `mount-without-filesystem`: a partition is mounted that has no filesystem.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub static RULE: Rule = Rule {
    name: "mount-without-filesystem",
    summary: "a partition is mounted that has no filesystem",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    if template.filesystems.is_none() {
        return;
    }
    for entry in template.mounts() {
        let Some((disk, number)) = entry.place.key() else { continue };
        if !template.filesystems().iter().any(|f| f.place.key() == Some((disk, number))) {
            out.report(
                entry.place.partition_span(),
                format!("partition {number} of `{disk}` has no filesystem that could be mounted"),
            )
            .help("add it to FilesystemTypes");
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
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1}], "PartitionMountPoints": [{"disk": "a", "partition": 2}]}"##,
            &[r##"1:106 partition 2 of `a` has no filesystem that could be mounted"##],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1}], "PartitionMountPoints": [{"disk": "a", "partition": 1}]}"##,
            &[],
        );
    }
}
