//! `root-missing`: nothing is mounted at /.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{MountEntry, Template};

pub(super) static RULE: Rule = Rule {
    name: "root-missing",
    summary: "nothing is mounted at /",
    level: Level::Error,
    why: "Everything else is mounted below `/`, and the content is installed there.",
    example: r#"{
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/srv" }
    ]
}"#,
    instead: r#"{
    "PartitionMountPoints": [
        { "disk": "kvm.img", "partition": 1, "mount": "/boot" },
        { "disk": "kvm.img", "partition": 3, "mount": "/" }
    ]
}"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(mounts) = &template.mounts else { return };
    let root = |entry: &MountEntry| entry.mount.as_ref().is_some_and(|m| m.value == "/");
    if !mounts.is_empty() && !mounts.iter().any(root) {
        out.report(opening(mounts.span), "nothing is mounted at `/`")
            .help("mount the root partition: \"mount\": \"/\"");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"PartitionMountPoints": [{"mount": "/home"}]}"##,
            &[r##"1:26 nothing is mounted at `/`"##],
        );
        check_rule(&super::RULE, r##"{"PartitionMountPoints": [{"mount": "/"}]}"##, &[]);
    }
}
