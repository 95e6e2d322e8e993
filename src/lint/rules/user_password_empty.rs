//! `user-password-empty`: a user can log in without a password.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template};

pub(super) static RULE: Rule = Rule {
    name: "user-password-empty",
    summary: "a user can log in without a password",
    level: Level::Warning,
    why: "Anyone at the console can log in as this user, and with sudo become root.",
    example: r#"{ "Users": [{ "username": "ada", "password": "" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for user in template.users() {
        let Some(password) = &user.password else { continue };
        if password.value != SecretSource::Inline(String::new()) {
            continue;
        }
        let sudo = user.sudo.as_ref().filter(|sudo| sudo.value);
        let mut added = out.report(
            password.span,
            if sudo.is_some() {
                "empty password of a user with sudo: anyone at the console can become root"
            } else {
                "empty password: the user can log in without a password"
            },
        );
        if let Some(sudo) = sudo {
            added = added.label(sudo.span, "`sudo` is set here");
        }
        added.help("use a crypt(3) hash (`openssl passwd -6`), or remove `password` to lock it");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"password": "", "sudo": true}, {"password": "!"}]}"#,
            &["1:25 empty password of a user with sudo: anyone at the console can become root"],
        );
    }
}
