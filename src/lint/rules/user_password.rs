//! `user-password`: a password is not a crypt hash.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template, is_crypt_hash};

pub(super) static RULE: Rule = Rule {
    name: "user-password",
    summary: "a password is not a crypt hash",
    level: Level::Error,
    why: "`password` is a crypt(3) hash that is written to /etc/shadow. With a password in clear text the user cannot log in, and anyone with the template or the image can read it.",
    example: r#"{ "Users": [{ "username": "ada", "password": "secret" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for password in template.users().iter().filter_map(|user| user.password.as_ref()) {
        if let SecretSource::Inline(text) = &password.value
            && !text.is_empty()
            && !is_crypt_hash(text)
        {
            out.report(password.span, "the password is not a crypt(3) hash")
                .help("create a hash with `openssl passwd -6`");
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
            r##"{"Users": [{"password": "plaintext"}]}"##,
            &[r##"1:25 the password is not a crypt(3) hash"##],
        );
        check_rule(
            &super::RULE,
            r##"{"Users": [{"password": "$6$salt$hash"}, {"password": ""}, {"password": "!"}, {"password": {"env": "X"}}]}"##,
            &[],
        );
    }
}
