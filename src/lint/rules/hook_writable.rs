//! `hook-writable`: a PostNonChroot program is writable by all users.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, entries, for_message};

pub(super) static RULE: Rule = Rule {
    name: "hook-writable",
    summary: "a PostNonChroot program is writable by all users",
    level: Level::Warning,
    why: "The program runs on the build host with the privileges of the user who builds. Anyone who can write to it, or replace it in its directory, can run arbitrary code there.",
    example: r#"{ "PostNonChroot": ["/tmp/hook"] }"#,
    instead: r#"{ "PostNonChroot": ["/usr/lib/ister/hook"] }"#,
    check: Check::Files(check),
};

fn check(template: &Template, files: &Files, out: &mut Findings) {
    for hook in entries(&template.post_non_chroot) {
        if let Some(FileFact::Program(program)) = files.get(&for_message(hook))
            && program.writable_by_all
        {
            out.report(
                hook.span,
                format!("the hook `{}` can be changed by any user of this host", for_message(hook)),
            )
            .help("move it to a directory that only you can write to, for example next to the template");
        }
    }
}
