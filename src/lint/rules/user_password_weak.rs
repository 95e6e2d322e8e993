//! `user-password-weak`: a password's hash is of a weak scheme.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template, is_crypt_hash};

pub(super) static RULE: Rule = Rule {
    name: "user-password-weak",
    summary: "a password's hash is of a weak scheme",
    level: Level::Warning,
    why: "DES and MD5 hashes are tried by the billion per second, and newer systems refuse them at login. The image makes the hash public.",
    example: r#"{ "Users": [{ "username": "ada", "password": "$1$salt$qJH7.N4xYta3aEG/dfqo/0" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for password in template.users().iter().filter_map(|user| user.password.as_ref()) {
        let SecretSource::Inline(hash) = &password.value else { continue };
        let scheme = if hash.starts_with("$1$") {
            "MD5"
        } else if hash.starts_with("$md5") || hash.starts_with("$sha1$") {
            "MD5 or SHA-1"
        } else if hash.starts_with("$3$") {
            "NT"
        } else if is_crypt_hash(hash) && !hash.starts_with(['$', '!', '*']) {
            "DES"
        } else {
            continue;
        };
        out.report(password.span, format!("a password hashed with {scheme}, which is easy to break"))
            .help("make another one with `openssl passwd -6`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"password": "abJnggxhB/yWI"}, {"password": "$y$j9T$x$y"}]}"#,
            &["1:25 a password hashed with DES, which is easy to break"],
        );
    }
}
