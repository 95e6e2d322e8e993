//! `user-password-empty`: a user logs in without a password.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template};

pub(super) static RULE: Rule = Rule {
    name: "user-password-empty",
    summary: "a user logs in without a password",
    level: Level::Warning,
    why: "Everybody at the console becomes this user, and with sudo everybody becomes root.",
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
                "whoever stands at the console becomes root: an empty password, and sudo"
            } else {
                "an empty password: nobody is asked for one"
            },
        );
        if let Some(sudo) = sudo {
            added = added.label(sudo.span, "sudo is given here");
        }
        added.help("a crypt(3) hash (`openssl passwd -6`), or leave `password` out to lock it");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"password": "", "sudo": true}, {"password": "!"}]}"#,
            &["1:25 whoever stands at the console becomes root: an empty password, and sudo"],
        );
    }
}
