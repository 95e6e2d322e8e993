//! `user-duplicate`: two users have the same name or uid.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Spanned, Template};

pub static RULE: Rule = Rule {
    name: "user-duplicate",
    summary: "two users have the same name or uid",
    level: Level::Error,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let mut names: Vec<&Spanned<String>> = Vec::new();
    let mut ids: Vec<&Spanned<i128>> = Vec::new();
    for user in template.users() {
        if let Some(name) = &user.username {
            match names.iter().find(|earlier| earlier.value == name.value) {
                Some(earlier) => {
                    out.report(name.span, format!("user `{}` is given twice", name.value))
                        .label(earlier.span, "first here");
                }
                None => names.push(name),
            }
        }
        if let Some(uid) = &user.uid {
            match ids.iter().find(|earlier| earlier.value == uid.value) {
                Some(earlier) => {
                    out.report(uid.span, format!("uid {} is given twice", uid.value))
                        .label(earlier.span, "first here");
                }
                None => ids.push(uid),
            }
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
            r##"{"Users": [{"username": "a", "uid": 1000}, {"username": "a", "uid": "1000"}]}"##,
            &[r##"1:57 user `a` is given twice"##, r##"1:69 uid 1000 is given twice"##],
        );
        check_rule(&super::RULE, r##"{"Users": [{"username": "a", "uid": 1000}, {"username": "b"}]}"##, &[]);
    }
}
