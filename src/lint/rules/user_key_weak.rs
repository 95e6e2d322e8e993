//! `user-key-weak`: an ssh key is weak.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;
use crate::template::ssh_key::authorized_keys;
use ssh_key::public::{KeyData, RsaPublicKey};

pub(super) static RULE: Rule = Rule {
    name: "user-key-weak",
    summary: "an ssh key is weak",
    level: Level::Warning,
    why: "OpenSSH has rejected DSA keys since version 7.0, and rejects RSA keys below 1024 bits: the user cannot log in. RSA keys below 2048 bits can be broken: others can log in.",
    example: r#"{ "Users": [{ "username": "ada", "key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ== ada@example" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada@example" }] }"#,
    check: Check::Files(check),
};

fn check(template: &Template, files: &Files, out: &mut Findings) {
    for key in template.users().iter().filter_map(|user| user.key.as_ref()) {
        let text = match files.get(&key.value) {
            Some(FileFact::Text(text)) => text,
            _ => &key.value,
        };
        for line in authorized_keys(text).into_iter().flatten() {
            let what = match line.key.as_ref() {
                Some(KeyData::Dsa(_)) => "weak ssh key: DSA, which OpenSSH rejects".to_owned(),
                Some(KeyData::Rsa(rsa)) => match bits(rsa) {
                    bits if bits < 2048 => format!("weak ssh key: RSA with {bits} bits"),
                    _ => continue,
                },
                _ => continue,
            };
            out.report(key.span, what).help("create another key with `ssh-keygen -t ed25519`");
        }
    }
}

/// The number of bits of the modulus.
fn bits(key: &RsaPublicKey) -> usize {
    let modulus = key.n.as_positive_bytes().unwrap_or_default();
    modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-dss AAAAB3NzaC1kc3MAAACBAIGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBAAAAFQCBgYGBgYGBgYGBgYGBgYGBgYGBgQAAAAECAAAAgACDg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4OD a@b"}]}"#,
            &["1:20 weak ssh key: DSA, which OpenSSH rejects"],
        );
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ== a@b"}]}"#,
            &["1:20 weak ssh key: RSA with 1024 bits"],
        );
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB a@b"}]}"#,
            &[],
        );
    }
}
