//! `hook-not-executable`: a PostNonChroot program is not executable.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, entries, for_message};

pub(super) static RULE: Rule = Rule {
    name: "hook-not-executable",
    summary: "a PostNonChroot program is not executable",
    level: Level::Error,
    why: "The program is executed directly, not through a shell.",
    example: r#"{ "PostNonChroot": ["/srv/not-executable"] }"#,
    instead: r#"{ "PostNonChroot": ["/usr/lib/ister/hook"] }"#,
    check: Check::Files(check),
};

fn check(template: &Template, files: &Files, out: &mut Findings) {
    for hook in entries(&template.post_non_chroot) {
        if let Some(FileFact::Program(program)) = files.get(&for_message(hook))
            && !program.executable
        {
            out.report(hook.span, format!("the hook `{}` is not executable", for_message(hook)))
                .help("run `chmod +x` on it");
        }
    }
}
