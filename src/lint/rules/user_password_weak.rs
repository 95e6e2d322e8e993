//! `user-password-weak`: a password hash uses a weak algorithm.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{SecretSource, Template, is_crypt_hash};

pub(super) static RULE: Rule = Rule {
    name: "user-password-weak",
    summary: "a password hash uses a weak algorithm",
    level: Level::Warning,
    why: "Billions of guesses per second can be tested against DES and MD5 hashes, and newer systems reject them at login. Anyone with the image can read the hash.",
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
        out.report(password.span, format!("the password hash uses {scheme}, which is easy to break"))
            .help("create another hash with `openssl passwd -6`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"password": "abJnggxhB/yWI"}, {"password": "$y$j9T$x$y"}]}"#,
            &["1:25 the password hash uses DES, which is easy to break"],
        );
    }
}
