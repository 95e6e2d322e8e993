//! `hook-interpreter`: a PostNonChroot program does not say what runs it.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, entries, for_message};

pub(super) static RULE: Rule = Rule {
    name: "hook-interpreter",
    summary: "a PostNonChroot program does not say what runs it",
    level: Level::Error,
    why: "The kernel starts a program that begins with `#!` and an interpreter, or an ELF file. Anything else ends with `Exec format error`.",
    example: r#"{ "PostNonChroot": ["/srv/no-interpreter"] }"#,
    instead: r#"{ "PostNonChroot": ["/usr/lib/ister/hook"] }"#,
    check: Check::Files(check),
};

fn check(template: &Template, files: &Files, out: &mut Findings) {
    for hook in entries(&template.post_non_chroot) {
        if let Some(FileFact::Program(program)) = files.get(&for_message(hook))
            && !program.startable
        {
            out.report(
                hook.span,
                format!("`{}` is neither a script with `#!` nor a program", for_message(hook)),
            )
            .help("begin it with, for example, `#!/bin/sh`");
        }
    }
}
