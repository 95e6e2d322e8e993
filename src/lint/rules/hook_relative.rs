//! `hook-relative`: a PostNonChroot program has a relative path.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, entries, for_message};

pub(super) static RULE: Rule = Rule {
    name: "hook-relative",
    summary: "a PostNonChroot program has a relative path",
    level: Level::Note,
    why: "A relative path is resolved from the working directory of ister, not from the directory of the template. The same template works in one directory and fails in another.",
    example: r#"{ "PostNonChroot": ["./there"] }"#,
    instead: r#"{ "PostNonChroot": ["/usr/lib/ister/hook"] }"#,
    check: Check::Files(check),
};

fn check(template: &Template, files: &Files, out: &mut Findings) {
    for hook in entries(&template.post_non_chroot) {
        // A missing file is reported by `hook-missing`, whose help also explains relative paths.
        if !hook.starts_with('/') && !matches!(files.get(&for_message(hook)), Some(FileFact::Missing)) {
            out.report(
                hook.span,
                format!(
                    "the path of hook `{}` is relative to the working directory of ister",
                    for_message(hook)
                ),
            )
            .help("use an absolute path, or always run ister in the same directory");
        }
    }
}
