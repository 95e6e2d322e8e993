//! `user-duplicate`: two users have the same name or uid.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Span, Template};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

pub(super) static RULE: Rule = Rule {
    name: "user-duplicate",
    summary: "two users have the same name or uid",
    level: Level::Error,
    why: "A second user with the same name or uid cannot be created. Users with the same uid own each other's files.",
    example: r#"{ "Users": [{ "username": "ada", "uid": 1000, "password": "$6$salt$hash" }, { "username": "bob", "uid": 1000, "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "uid": 1000, "password": "$6$salt$hash" }, { "username": "bob", "uid": 1001, "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut names: HashMap<&str, Span> = HashMap::new();
    let mut ids: HashMap<i128, Span> = HashMap::new();
    for user in template.users() {
        if let Some(name) = &user.username {
            match names.entry(&name.value) {
                Entry::Occupied(earlier) => {
                    out.report(name.span, format!("duplicate user name `{}`", name.value.escape_debug()))
                        .label(*earlier.get(), "first used here")
                        .help("remove one of the users, or change its name");
                }
                Entry::Vacant(entry) => {
                    entry.insert(name.span);
                }
            }
        }
        if let Some(uid) = &user.uid {
            match ids.entry(uid.value) {
                Entry::Occupied(earlier) => {
                    out.report(uid.span, format!("duplicate uid {}", uid.value))
                        .label(*earlier.get(), "first used here")
                        .help("give each user a unique uid, or remove `uid`");
                }
                Entry::Vacant(entry) => {
                    entry.insert(uid.span);
                }
            }
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
            r##"{"Users": [{"username": "a", "uid": 1000}, {"username": "a", "uid": "1000"}]}"##,
            &[r##"1:57 duplicate user name `a`"##, r##"1:69 duplicate uid 1000"##],
        );
        check_rule(&super::RULE, r##"{"Users": [{"username": "a", "uid": 1000}, {"username": "b"}]}"##, &[]);
    }
}
