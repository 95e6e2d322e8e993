//! `user-key`: an ssh key is neither a file nor a key.

use crate::lint::files::{FileFact, Files};
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Template, for_message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub static RULE: Rule = Rule {
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
        let line =
            text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
        let mut fields = line.split_whitespace();
        let (_, body, comment) = (fields.next(), fields.next(), fields.next());
        // The comment is optional in a file, as ssh-keygen allows; a key in the template has three fields.
        let is_key =
            (comment.is_some() || from_file) && body.is_some_and(|body| STANDARD.decode(body).is_ok());
        if !is_key {
            let two = body.is_some_and(|body| STANDARD.decode(body).is_ok()) && comment.is_none();
            // What stands here may be a key that is not for others' eyes.
            out.report(
                key.span,
                if two {
                    "this key has no comment, which ister.py wants"
                } else {
                    "this is neither a readable file nor an OpenSSH public key"
                },
            )
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
        check_rule(
            &super::RULE,
            &key("./missing"),
            &["1:20 this is neither a readable file nor an OpenSSH public key"],
        );
        check_rule(
            &super::RULE,
            &key("ssh-ed25519 !! me"),
            &["1:20 this is neither a readable file nor an OpenSSH public key"],
        );
        check_rule(&super::RULE, &key("./key.pub"), &[]);
        check_rule(
            &super::RULE,
            &key("./key"),
            &["1:20 this is a private key, which would be published with the image"],
        );
        check_rule(&super::RULE, &key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@host"), &[]);
    }
}
