//! `user-name-reserved`: a user name is a system user or group.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "user-name-reserved",
    summary: "a user name is a system user or group",
    level: Level::Warning,
    why: "The base system already has a user or group with this name. ister modifies the existing user, so a person gets the account of a service. Membership in an existing group would grant its privileges, so the build fails.",
    example: r#"{ "Users": [{ "username": "daemon", "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for name in template.users().iter().filter_map(|user| user.username.as_ref()) {
        if RESERVED.contains(&name.as_str()) || name.starts_with("systemd-") {
            out.report(name.span, format!("user name `{}` is a system user", name.value.escape_debug()))
                .help("use another name");
        } else if GROUPS.contains(&name.as_str()) {
            out.report(name.span, format!("user name `{}` is a system group", name.value.escape_debug()))
                .help("use another name");
        }
    }
}

/// Groups of Debian's base-passwd and of common packages that are not users. Source: base-passwd, group.master.
const GROUPS: &[&str] = &[
    "adm", "audio", "cdrom", "crontab", "dialout", "dip", "disk", "docker", "fax", "floppy", "input", "kmem",
    "kvm", "libvirt", "lxd", "netdev", "nogroup", "operator", "plugdev", "render", "sasl", "sgx", "shadow",
    "src", "staff", "sudo", "tape", "tty", "users", "utmp", "video", "voice", "wheel",
];

/// Users of Debian's base-passwd and of systemd.
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
