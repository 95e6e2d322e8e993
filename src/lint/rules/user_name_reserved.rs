//! `user-name-reserved`: a user name belongs to the system.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "user-name-reserved",
    summary: "a user name is a user or a group of the system",
    level: Level::Warning,
    why: "The base system has a user or a group of this name already. ister changes that user, and a service then belongs to a person; a group would give its rights to the user, so a build refuses it.",
    example: r#"{ "Users": [{ "username": "daemon", "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for name in template.users().iter().filter_map(|user| user.username.as_ref()) {
        if RESERVED.contains(&name.as_str()) || name.starts_with("systemd-") {
            out.report(name.span, format!("`{}` is a user of the system itself", name.value.escape_debug()))
                .help("choose another name");
        } else if GROUPS.contains(&name.as_str()) {
            out.report(name.span, format!("`{}` is a group of the system", name.value.escape_debug()))
                .help("choose another name");
        }
    }
}

/// Groups of Debian's base-passwd and of packages that are often installed, which are no users. Source: base-passwd, group.master.
const GROUPS: &[&str] = &[
    "adm", "audio", "cdrom", "crontab", "dialout", "dip", "disk", "docker", "fax", "floppy", "input", "kmem",
    "kvm", "libvirt", "lxd", "netdev", "nogroup", "operator", "plugdev", "render", "sasl", "sgx", "shadow",
    "src", "staff", "sudo", "tape", "tty", "users", "utmp", "video", "voice", "wheel",
];

/// Users of Debian's base-passwd and of systemd's defaults.
const RESERVED: &[&str] = &[
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
