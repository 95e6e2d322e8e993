//! `cmdline-root-ssh`: the kernel command line opens root's ssh login.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::command_line::words;
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "cmdline-root-ssh",
    summary: "the kernel command line opens root's ssh login",
    level: Level::Warning,
    why: "`ister.root_ssh` lets the installer's root log in over ssh without a password. It is meant for one supervised installation, not for a published image.",
    example: r#"{ "cmdline": "quiet ister.root_ssh" }"#,
    instead: r#"{ "cmdline": "quiet" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(cmdline) = &template.cmdline else { return };
    let is_it = |word: &&str| *word == "ister.root_ssh" || word.starts_with("ister.root_ssh=");
    if words(cmdline).iter().any(is_it) {
        let others: Vec<&str> = words(cmdline).into_iter().filter(|word| !is_it(word)).collect();
        out.report(cmdline.span, "`ister.root_ssh` lets everybody on the network log in as root")
            .help("leave it out; give a user a key instead")
            .fix(Fix::unsafe_("leave it out", Change::string(cmdline.span, &others.join(" "))));
    }
}
