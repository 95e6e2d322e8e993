//! `cmdline-root-ssh`: the kernel command line enables ssh logins as root.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::command_line::words;
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "cmdline-root-ssh",
    summary: "the kernel command line enables ssh logins as root",
    level: Level::Warning,
    why: "`ister.root_ssh` allows root to log in to the installer over ssh without a password. Use it only for supervised installations, not in published images.",
    example: r#"{ "cmdline": "quiet ister.root_ssh" }"#,
    instead: r#"{ "cmdline": "quiet" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(cmdline) = &template.cmdline else { return };
    let is_it = |word: &&str| *word == "ister.root_ssh" || word.starts_with("ister.root_ssh=");
    if words(cmdline).iter().any(is_it) {
        let others: Vec<&str> = words(cmdline).into_iter().filter(|word| !is_it(word)).collect();
        out.report(cmdline.span, "`ister.root_ssh` lets anyone on the network log in as root")
            .help("remove it and give a user a `key` instead")
            .fix(Fix::unsafe_("remove `ister.root_ssh`", Change::string(cmdline.span, &others.join(" "))));
    }
}
