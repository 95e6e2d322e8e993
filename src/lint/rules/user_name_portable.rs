//! `user-name-portable`: a user name is not portable.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "user-name-portable",
    summary: "a user name is not portable",
    level: Level::Warning,
    why: "POSIX user names consist of letters, digits, `.`, `_` and `-` (3.437), and Debian's tools accept only lower case. Other names cause problems with mail, sudoers, cron and scripts.",
    example: r#"{ "Users": [{ "username": "Ada", "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for name in template.users().iter().filter_map(|user| user.username.as_ref()) {
        let first = |c: char| c.is_ascii_lowercase() || c == '_';
        let other = |c: char| first(c) || c.is_ascii_digit() || c == '-';
        // Invalid names are reported by `user-name`.
        let impossible = name.is_empty()
            || name.starts_with('-')
            || name.contains(|c: char| c.is_control() || c.is_whitespace() || ":/,".contains(c))
            || matches!(name.as_str(), "." | "..");
        if impossible || name.starts_with(first) && name.chars().all(other) {
            continue;
        }
        let lower = name.to_lowercase();
        let added =
            out.report(name.span, format!("user name `{}` is not portable", name.value.escape_debug())).help(
                "start with a lower-case letter or `_`, followed by lower-case letters, digits, `_` and `-`",
            );
        if lower.starts_with(first) && lower.chars().all(other) {
            added.fix(Fix::unsafe_(format!("replace with `{lower}`"), Change::string(name.span, &lower)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"username": "1a"}, {"username": "a.b"}, {"username": "_x-1"}]}"#,
            &["1:25 user name `1a` is not portable", "1:45 user name `a.b` is not portable"],
        );
    }
}
