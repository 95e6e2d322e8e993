//! `user-name`: a user name is invalid.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "user-name",
    summary: "a user name is invalid",
    level: Level::Error,
    why: "The name is written to a field of /etc/passwd, used as a directory name in /home, and passed to scripts.",
    example: r#"{ "Users": [{ "username": "ada:x", "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for name in template.users().iter().filter_map(|user| user.username.as_ref()) {
        let fault = if name.is_empty() {
            "empty"
        } else if name.starts_with('-') {
            "starts with `-`"
        } else if matches!(name.as_str(), "." | "..") {
            "reserved directory name"
        } else if name.contains(|c: char| c.is_control() || c.is_whitespace() || ":/,".contains(c)) {
            "spaces, `:`, `/` and `,` are not allowed"
        } else if name.len() > 32 {
            "more than 32 bytes"
        } else {
            continue;
        };
        out.report(name.span, format!("invalid user name `{}`: {fault}", name.value.escape_debug()))
            .help("use a name such as `ada`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"Users": [{"username": "a:b"}, {"username": "../x"}]}"##,
            &[
                r##"1:25 invalid user name `a:b`: spaces, `:`, `/` and `,` are not allowed"##,
                r##"1:46 invalid user name `../x`: spaces, `:`, `/` and `,` are not allowed"##,
            ],
        );
        check_rule(&super::RULE, r##"{"Users": [{"username": "ada"}]}"##, &[]);
    }
}
