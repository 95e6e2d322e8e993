//! `user-sudo`: a user with sudo cannot log in.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template};

pub(super) static RULE: Rule = Rule {
    name: "user-sudo",
    summary: "a user with sudo cannot log in",
    level: Level::Error,
    why: "A user with sudo is the way to root, whose own password login is then disabled. Without a key or a password that way is closed, or open to all.",
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
            out.report(sudo.span, "sudo without a key or a password").help(
                "give the user `key`, or a `password` that is not empty (a crypt(3) hash: `openssl passwd -6`)",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"Users": [{"sudo": true}, {"sudo": true, "password": ""}]}"##,
            &[r##"1:21 sudo without a key or a password"##, r##"1:37 sudo without a key or a password"##],
        );
        check_rule(
            &super::RULE,
            r##"{"Users": [{"sudo": false}, {"sudo": true, "key": "k"}, {"sudo": true, "password": "$6$a$b"}]}"##,
            &[],
        );
    }
}
