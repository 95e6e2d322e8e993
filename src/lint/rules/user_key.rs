//! `user-key`: an ssh key is invalid or its file is unusable.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::ssh_key::authorized_keys;
use crate::template::{Template, for_message};

pub(super) static RULE: Rule = Rule {
    name: "user-key",
    summary: "an ssh key is invalid or its file is unusable",
    level: Level::Error,
    why: "`key` is written to the user's authorized_keys. With an invalid value the user cannot log in. A private key would be published with the image.",
    example: r#"{ "Users": [{ "username": "ada", "key": "ssh-ed25519 AAAA" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada@example" }] }"#,
    check: Check::Files(check),
};

fn check(template: &Template, files: &Files, out: &mut Findings) {
    for key in template.users().iter().filter_map(|user| user.key.as_ref()) {
        let text = match files.get(&key.value) {
            Some(FileFact::Text(text)) => text,
            Some(FileFact::Unreadable(reason)) => {
                out.report(key.span, format!("the key file `{}` cannot be used: {reason}", for_message(key)))
                    .help("use the path of a .pub file that you can read");
                continue;
            }
            _ => &key.value,
        };
        if text.contains("PRIVATE KEY") {
            out.report(key.span, "private key, which would be published with the image")
                .help("use the public key, usually the file with the same name and `.pub`");
            continue;
        }
        let from_file = !std::ptr::eq(text, &key.value);
        let lines = authorized_keys(text);
        let wrong = lines.iter().find_map(|line| line.as_ref().err());
        // The value may be a secret key, so the messages do not repeat it.
        if let Some(problem) = wrong {
            let what = if from_file {
                "the key file contains no valid OpenSSH public keys"
            } else {
                "neither a readable file nor an OpenSSH public key"
            };
            // A single word was probably meant as a path.
            let detail = match from_file || text.trim().contains(char::is_whitespace) {
                true => format!(": {}", for_message(problem)),
                false => String::new(),
            };
            out.report(key.span, what.to_owned() + &detail).help(
                "use the path of a .pub file, or authorized_keys lines: options, type, base64, comment",
            );
        } else if lines.is_empty() {
            out.report(key.span, "the key file contains no keys")
                .help("use the path of a .pub file, or its text");
        } else if !from_file && lines.iter().flatten().any(|line| !line.has_comment) {
            // In a file the comment is optional, as ssh-keygen writes it.
            out.report(key.span, "the key has no comment, which ister.py requires")
                .help("use the path of a .pub file, or its text: type, base64, comment");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let key = |text: &str| format!(r#"{{"Users": [{{"key": "{text}"}}]}}"#);
        check_rule(
            &super::RULE,
            &key("./missing"),
            &["1:20 neither a readable file nor an OpenSSH public key"],
        );
        check_rule(
            &super::RULE,
            &key("no-such ssh-ed25519 AAAA me"),
            &["1:20 neither a readable file nor an OpenSSH public key: line 1: unsupported option `no-such`"],
        );
        check_rule(&super::RULE, &key("./key.pub"), &[]);
        check_rule(
            &super::RULE,
            &key("./key"),
            &["1:20 private key, which would be published with the image"],
        );
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
        check_rule(&super::RULE, &key(&format!("no-pty {good} me@host")), &[]);
        check_rule(&super::RULE, &key(good), &["1:20 the key has no comment, which ister.py requires"]);
    }
}
