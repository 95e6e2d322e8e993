//! `user-uid-system`: a uid is reserved for the system.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "user-uid-system",
    summary: "a uid is reserved for the system",
    level: Level::Warning,
    why: "Uids below 1000 are used for services and hidden on login screens. 65534 is the user `nobody`. System calls treat 65535 and 4294967295 as -1, which means `no change`.",
    example: r#"{ "Users": [{ "username": "ada", "uid": 999, "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "uid": 1000, "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for uid in template.users().iter().filter_map(|user| user.uid.as_ref()) {
        let what = match uid.value {
            1..1000 => "uids below 1000 are reserved for services",
            65534 => "reserved for the user `nobody`",
            65535 | 4_294_967_295 => "system calls treat it as -1, which is not a user",
            _ => continue,
        };
        out.report(uid.span, format!("uid {}: {what}", uid.value)).help("use a uid from 1000 to 60000");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"uid": 65534}, {"uid": 65535}, {"uid": "4294967295"}, {"uid": 60000}]}"#,
            &[
                "1:20 uid 65534: reserved for the user `nobody`",
                "1:36 uid 65535: system calls treat it as -1, which is not a user",
                "1:52 uid 4294967295: system calls treat it as -1, which is not a user",
            ],
        );
    }
}
