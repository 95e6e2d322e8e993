//! `user-uid-system`: a uid lies in a range of the system.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "user-uid-system",
    summary: "a uid lies in a range of the system",
    level: Level::Warning,
    why: "Uids below 1000 are for services and not shown as people; 65534 is nobody; 65535 and 4294967295 are -1 to system calls, which mean `no change` by it.",
    example: r#"{ "Users": [{ "username": "ada", "uid": 999, "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "uid": 1000, "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for uid in template.users().iter().filter_map(|user| user.uid.as_ref()) {
        let what = match uid.value {
            1..1000 => "below 1000 are the users of services",
            65534 => "that is nobody",
            65535 | 4_294_967_295 => "system calls take it for -1, which is no user",
            _ => continue,
        };
        out.report(uid.span, format!("uid {}: {what}", uid.value)).help("people have 1000 to 60000");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"uid": 65534}, {"uid": 65535}, {"uid": "4294967295"}, {"uid": 60000}]}"#,
            &[
                "1:20 uid 65534: that is nobody",
                "1:36 uid 65535: system calls take it for -1, which is no user",
                "1:52 uid 4294967295: system calls take it for -1, which is no user",
            ],
        );
    }
}
