//! `user-name-reserved`: a user name belongs to the system.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub static RULE: Rule = Rule {
    name: "user-name-reserved",
    summary: "a user name belongs to the system",
    level: Level::Warning,
    why: "The base system has a user of this name already. ister.py fails there; ister changes that user, and a service then belongs to a person.",
    example: r#"{ "Users": [{ "username": "daemon", "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for name in template.users().iter().filter_map(|user| user.username.as_ref()) {
        if RESERVED.contains(&name.as_str()) || name.starts_with("systemd-") {
            out.report(name.span, format!("`{}` is a user of the system itself", name.value.escape_debug()))
                .help("choose another name");
        }
    }
}

/// Users of Debian's base-passwd and of systemd's defaults.
const RESERVED: &[&str] = &[
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "_apt",
    "nobody",
    "messagebus",
    "sshd",
];
