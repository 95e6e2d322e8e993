//! `root-missing`: nothing is mounted at /.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{MountEntry, Template};

pub(super) static RULE: Rule = Rule {
    name: "root-missing",
    summary: "nothing is mounted at /",
    level: Level::Error,
    why: "The content is installed on the filesystem at `/`, and all others are mounted below it.",
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
    // An entry whose `mount` is missing, or misspelt, may be the one.
    if mounts.iter().any(|entry| entry.mount.is_none()) {
        return;
    }
    let root = |entry: &MountEntry| entry.mount.as_ref().is_some_and(|m| m.value == "/");
    if !mounts.is_empty() && !mounts.iter().any(root) {
        out.report(opening(mounts.span), "nothing is mounted at `/`")
            .help("add an entry with `\"mount\": \"/\"` for the root partition");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"PartitionMountPoints": [{"mount": "/home"}]}"##,
            &[r##"1:26 nothing is mounted at `/`"##],
        );
        check_rule(&super::RULE, r##"{"PartitionMountPoints": [{"mount": "/"}]}"##, &[]);
    }
}
