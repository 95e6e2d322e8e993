//! `hook-writable`: everybody can change a PostNonChroot program.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, entries, for_message};

pub(super) static RULE: Rule = Rule {
    name: "hook-writable",
    summary: "everybody can change a PostNonChroot program",
    level: Level::Warning,
    why: "It runs on the build host with the rights of whoever builds. Who can write to it, or replace it in its directory, can run anything there.",
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
                format!("everybody on this host can change the hook `{}`", for_message(hook)),
            )
            .help("keep it beside the template, in a directory of your own");
        }
    }
}
