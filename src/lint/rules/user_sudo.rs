//! `user-sudo`: a user with sudo cannot log in.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template};

pub(super) static RULE: Rule = Rule {
    name: "user-sudo",
    summary: "a user with sudo cannot log in",
    level: Level::Error,
    why: "If a user has sudo, password logins of root are disabled. Without a key or password, that user cannot log in either, so nobody can become root. With an empty password, anyone can.",
    example: r#"{ "Users": [{ "username": "ada", "sudo": true }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "sudo": true, "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for user in template.users() {
        let Some(sudo) = user.sudo.as_ref().filter(|sudo| sudo.value) else { continue };
        let has = |key: &str| user.present.iter().any(|p| p.value == key);
        let password = match user.password.as_ref().map(|p| &p.value) {
            Some(SecretSource::Inline(text)) => !text.is_empty(),
            Some(_) => true,
            None => false,
        };
        if !password && !has("key") {
            out.report(sudo.span, "user with `sudo` has no key and no password")
                .help("add `key`, or a non-empty `password` (a crypt(3) hash from `openssl passwd -6`)");
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
            r##"{"Users": [{"sudo": true}, {"sudo": true, "password": ""}]}"##,
            &[
                r##"1:21 user with `sudo` has no key and no password"##,
                r##"1:37 user with `sudo` has no key and no password"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"Users": [{"sudo": false}, {"sudo": true, "key": "k"}, {"sudo": true, "password": "$6$a$b"}]}"##,
            &[],
        );
    }
}
