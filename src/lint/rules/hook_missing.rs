//! `hook-missing`: a PostNonChroot program does not exist.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, entries, for_message};

pub(super) static RULE: Rule = Rule {
    name: "hook-missing",
    summary: "a PostNonChroot program does not exist",
    level: Level::Error,
    why: "PostNonChroot programs run on the host after the content is installed. If one is missing, the build fails after its longest step.",
    example: r#"{ "PostNonChroot": ["./missing"] }"#,
    instead: r#"{ "PostNonChroot": ["/usr/lib/ister/hook"] }"#,
    check: Check::Files(check),
};

fn check(template: &Template, files: &Files, out: &mut Findings) {
    for hook in entries(&template.post_non_chroot) {
        match files.get(&for_message(hook)) {
            Some(FileFact::Missing) => {
                out.report(hook.span, format!("the hook `{}` does not exist", for_message(hook)))
                    .help("correct the path; relative paths start at the directory of the template");
            }
            Some(FileFact::Unreadable(reason)) => {
                out.report(hook.span, format!("the hook `{}` cannot be run: {reason}", for_message(hook)))
                    .help("use a regular file that is a program or script");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"PostNonChroot": ["./missing"]}"##,
            &["1:20 the hook `./missing` does not exist"],
        );
        check_rule(&super::RULE, r##"{"PostNonChroot": ["./there"]}"##, &[]);
    }
}
