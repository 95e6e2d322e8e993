//! `root-kept`: the root filesystem is not to be formatted.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub static RULE: Rule = Rule {
    name: "root-kept",
    summary: "the root filesystem is not to be formatted",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let root = template.mounts().iter().find(|entry| entry.mount.as_ref().is_some_and(|m| m.value == "/"));
    let Some(key) = root.and_then(|entry| entry.place.key()) else { return };
    for entry in template.filesystems() {
        if let (Some(span), true) = (entry.disable_format, entry.place.key() == Some(key)) {
            out.report(span, "the filesystem of `/` cannot be kept").help("remove `disable_format` here");
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
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "disable_format": true}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/"}]}"##,
            &[r##"1:70 the filesystem of `/` cannot be kept"##],
        );
        check_rule(
            &super::RULE,
            r##"{"FilesystemTypes": [{"disk": "a", "partition": 1, "disable_format": true}], "PartitionMountPoints": [{"disk": "a", "partition": 1, "mount": "/home"}]}"##,
            &[],
        );
    }
}
