//! `mount-duplicate`: a mount point is used twice.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Spanned, Template};

pub static RULE: Rule = Rule {
    name: "mount-duplicate",
    summary: "a mount point is used twice",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut seen: Vec<&Spanned<String>> = Vec::new();
    for mount in template.mounts().iter().filter_map(|entry| entry.mount.as_ref()) {
        match seen.iter().find(|earlier| earlier.value == mount.value) {
            Some(earlier) => {
                out.report(mount.span, format!("`{}` is mounted twice", mount.value))
                    .label(earlier.span, "mounted here before");
            }
            None => seen.push(mount),
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
            r##"{"PartitionMountPoints": [{"mount": "/"}, {"mount": "/"}]}"##,
            &[r##"1:53 `/` is mounted twice"##],
        );
        check_rule(&super::RULE, r##"{"PartitionMountPoints": [{"mount": "/"}, {"mount": "/home"}]}"##, &[]);
    }
}
