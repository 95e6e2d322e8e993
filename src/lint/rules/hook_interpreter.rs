//! `hook-interpreter`: a PostNonChroot program is neither a script with `#!` nor an ELF file.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, entries, for_message};

pub(super) static RULE: Rule = Rule {
    name: "hook-interpreter",
    summary: "a PostNonChroot program is neither a script with `#!` nor an ELF file",
    level: Level::Error,
    why: "The kernel executes ELF files and scripts that start with `#!` and an interpreter. Anything else fails with `Exec format error`.",
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
                format!("the hook `{}` is neither a script with `#!` nor an ELF file", for_message(hook)),
            )
            .help("start it with an interpreter line, for example `#!/bin/sh`");
        }
    }
}
