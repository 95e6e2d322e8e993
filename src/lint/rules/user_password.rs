//! `user-password`: a password is not a crypt hash.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template, is_crypt_hash};

pub(super) static RULE: Rule = Rule {
    name: "user-password",
    summary: "a password is not a crypt hash",
    level: Level::Error,
    why: "The password stands in the image as a crypt(3) hash. Clear text would let nobody in, and everybody who has the template or the image could read it.",
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
            out.report(password.span, "this password is no crypt(3) hash")
                .help("make one with `openssl passwd -6`; in clear text it would let nobody in, and everybody could read it");
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
            r##"{"Users": [{"password": "plaintext"}]}"##,
            &[r##"1:25 this password is no crypt(3) hash"##],
        );
        check_rule(
            &super::RULE,
            r##"{"Users": [{"password": "$6$salt$hash"}, {"password": ""}, {"password": "!"}, {"password": {"env": "X"}}]}"##,
            &[],
        );
    }
}
