//! `user-key-weak`: an ssh key is of a weak type.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;
use crate::template::ssh_key::authorized_keys;
use ssh_key::public::{KeyData, RsaPublicKey};

pub(super) static RULE: Rule = Rule {
    name: "user-key-weak",
    summary: "an ssh key is of a weak type",
    level: Level::Warning,
    why: "OpenSSH refuses DSA keys since 7.0 and RSA keys below 1024 bits; RSA below 2048 bits is breakable. The user could not log in, or others could.",
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
                Some(KeyData::Dsa(_)) => "a DSA key, which OpenSSH refuses".to_owned(),
                Some(KeyData::Rsa(rsa)) => match bits(rsa) {
                    bits if bits < 2048 => format!("an RSA key of {bits} bits, which is too short"),
                    _ => continue,
                },
                _ => continue,
            };
            out.report(key.span, what).help("make another one with `ssh-keygen -t ed25519`");
        }
    }
}

/// Of its modulus.
fn bits(key: &RsaPublicKey) -> usize {
    let modulus = key.n.as_positive_bytes().unwrap_or_default();
    modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-dss AAAAB3NzaC1kc3MAAACBAIGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBAAAAFQCBgYGBgYGBgYGBgYGBgYGBgYGBgQAAAAECAAAAgACDg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4ODg4OD a@b"}]}"#,
            &["1:20 a DSA key, which OpenSSH refuses"],
        );
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ== a@b"}]}"#,
            &["1:20 an RSA key of 1024 bits, which is too short"],
        );
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB a@b"}]}"#,
            &[],
        );
    }
}
