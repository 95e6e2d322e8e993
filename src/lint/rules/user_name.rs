//! `user-name`: a user name cannot be one.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "user-name",
    summary: "a user name cannot be one",
    level: Level::Error,
    why: "The name becomes a field of /etc/passwd, a directory of /home and a word of many scripts.",
    example: r#"{ "Users": [{ "username": "ada:x", "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for name in template.users().iter().filter_map(|user| user.username.as_ref()) {
        let fault = if name.is_empty() {
            "it is empty"
        } else if name.starts_with('-') {
            "it starts with `-`"
        } else if matches!(name.as_str(), "." | "..") {
            "it is the name of a directory"
        } else if name.contains(|c: char| c.is_control() || c.is_whitespace() || ":/,".contains(c)) {
            "a space, `:`, `/` or `,` cannot stand in it"
        } else if name.len() > 32 {
            "it has more than 32 bytes"
        } else {
            continue;
        };
        out.report(name.span, format!("`{}` is no user name: {fault}", name.value.escape_debug()))
            .help("for example `ada`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"Users": [{"username": "a:b"}, {"username": "../x"}]}"##,
            &[
                r##"1:25 `a:b` is no user name: a space, `:`, `/` or `,` cannot stand in it"##,
                r##"1:46 `../x` is no user name: a space, `:`, `/` or `,` cannot stand in it"##,
            ],
        );
        check_rule(&super::RULE, r##"{"Users": [{"username": "ada"}]}"##, &[]);
    }
}
