//! `user-key-weak`: an ssh key is of a weak type, or not of the type that it says.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, for_message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub static RULE: Rule = Rule {
    name: "user-key-weak",
    summary: "an ssh key is of a weak type, or not of the type that it says",
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
        let line =
            text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
        let mut fields = line.split_whitespace();
        let (Some(kind), Some(blob)) = (fields.next(), fields.next()) else { continue };
        // A key in the template without its comment is none yet, which `user-key` says.
        let whole = fields.next().is_some() || matches!(files.get(&key.value), Some(FileFact::Text(_)));
        let decoded = STANDARD.decode(blob).unwrap_or_default();
        let said = field(&decoded).and_then(|range| decoded.get(range));
        let what = match kind {
            "ssh-dss" => "a DSA key, which OpenSSH refuses".to_owned(),
            // OpenSSH takes a key only if its text is of the type that stands before it.
            _ if whole
                && kind.starts_with("ssh-")
                && !decoded.is_empty()
                && said.is_none_or(|said| said != kind.as_bytes()) =>
            {
                format!("its text is no key of the type {}", for_message(kind))
            }
            "ssh-rsa" => match rsa_bits(&decoded) {
                Some(bits) if bits < 2048 => format!("an RSA key of {bits} bits, which is too short"),
                _ => continue,
            },
            _ => continue,
        };
        out.report(key.span, what).help("make another one with `ssh-keygen -t ed25519`");
    }
}

/// Where the first string of a key's text stands, behind its length. Source: RFC 4251, section 5.
fn field(blob: &[u8]) -> Option<std::ops::Range<usize>> {
    let length = u32::from_be_bytes(blob.get(..4)?.try_into().ok()?) as usize;
    Some(4..4usize.checked_add(length)?)
}

/// Bits of an RSA key's modulus. Source: RFC 4253, section 6.6: the strings `ssh-rsa`, e, n.
fn rsa_bits(blob: &[u8]) -> Option<usize> {
    let mut rest = blob;
    for _ in 0..2 {
        rest = rest.get(field(rest)?.end..)?;
    }
    let modulus = rest.get(field(rest)?)?;
    let significant = modulus.iter().position(|byte| *byte != 0)?;
    Some((modulus.len() - significant) * 8 - modulus[significant].leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-dss AAAAB3NzaC1kc3MAAAAgAIABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= a@b"}]}"#,
            &["1:20 a DSA key, which OpenSSH refuses"],
        );
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQ== a@b"}]}"#,
            &["1:20 an RSA key of 1024 bits, which is too short"],
        );
        check_rule(
            &super::RULE,
            r#"{"Users": [{"key": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB a@b"}, {"key": "ssh-rsa AAAA a@b"}]}"#,
            &["1:417 its text is no key of the type ssh-rsa"],
        );
    }
}
