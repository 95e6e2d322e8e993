//! `hook-relative`: a PostNonChroot program has a relative path.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, entries, for_message};

pub(super) static RULE: Rule = Rule {
    name: "hook-relative",
    summary: "a PostNonChroot program has a relative path",
    level: Level::Note,
    why: "It is looked for from the directory in which ister runs, not from the template's. The same template works in one directory and not in another.",
    example: r#"{ "PostNonChroot": ["./there"] }"#,
    instead: r#"{ "PostNonChroot": ["/usr/lib/ister/hook"] }"#,
    check: Check::Files(check),
};

fn check(template: &Template, files: &Files, out: &mut Findings) {
    for hook in entries(&template.post_non_chroot) {
        // One that is not found has a finding, which says the same.
        if !hook.starts_with('/') && !matches!(files.get(&for_message(hook)), Some(FileFact::Missing)) {
            out.report(
                hook.span,
                format!("the hook `{}` is looked for in the directory where ister runs", for_message(hook)),
            )
            .help("run ister there, or write an absolute path");
        }
    }
}
