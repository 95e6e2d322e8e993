//! `user-key`: an ssh key is neither a file nor a key.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::ssh_key::authorized_keys;
use crate::template::{Template, for_message};

pub(super) static RULE: Rule = Rule {
    name: "user-key",
    summary: "an ssh key is neither a file nor a key",
    level: Level::Error,
    why: "`key` becomes the user's authorized_keys. What is neither a key nor a file that has one lets nobody in, and a private key would be published with the image.",
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
                    .help("the path of a .pub file that this user may read");
                continue;
            }
            _ => &key.value,
        };
        if text.contains("PRIVATE KEY") {
            out.report(key.span, "this is a private key, which would be published with the image")
                .help("name the public one, usually the same file with `.pub`");
            continue;
        }
        let from_file = !std::ptr::eq(text, &key.value);
        let lines = authorized_keys(text);
        let wrong = lines.iter().find_map(|line| line.as_ref().err());
        // What stands here may be a key that is not for others' eyes.
        if let Some(problem) = wrong {
            let what = if from_file {
                "this file does not contain OpenSSH public keys"
            } else {
                "this is neither a readable file nor a key"
            };
            // A single word was meant for a path.
            let detail = match from_file || text.trim().contains(char::is_whitespace) {
                true => format!(": {}", for_message(problem)),
                false => String::new(),
            };
            out.report(key.span, what.to_owned() + &detail)
                .help("the path of a .pub file, or lines of authorized_keys: options, type, base64, comment");
        } else if lines.is_empty() {
            out.report(key.span, "the file contains no key").help("the path of a .pub file, or its text");
        } else if !from_file && lines.iter().flatten().any(|line| !line.has_comment) {
            // The comment is optional in a file, as ssh-keygen allows.
            out.report(key.span, "this key has no comment, which ister.py wants")
                .help("the path of a .pub file, or its text: type, base64, comment");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        let key = |text: &str| format!(r#"{{"Users": [{{"key": "{text}"}}]}}"#);
        check_rule(&super::RULE, &key("./missing"), &["1:20 this is neither a readable file nor a key"]);
        check_rule(
            &super::RULE,
            &key("no-such ssh-ed25519 AAAA me"),
            &["1:20 this is neither a readable file nor a key: line 1: unsupported option `no-such`"],
        );
        check_rule(&super::RULE, &key("./key.pub"), &[]);
        check_rule(
            &super::RULE,
            &key("./key"),
            &["1:20 this is a private key, which would be published with the image"],
        );
        let good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
        check_rule(&super::RULE, &key(&format!("no-pty {good} me@host")), &[]);
        check_rule(&super::RULE, &key(good), &["1:20 this key has no comment, which ister.py wants"]);
    }
}
