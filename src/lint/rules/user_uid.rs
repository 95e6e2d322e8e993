//! `user-uid`: a uid is out of range.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "user-uid",
    summary: "a uid is out of range",
    level: Level::Error,
    why: "A uid has 32 bits, and uid 0 is reserved for root.",
    example: r#"{ "Users": [{ "username": "ada", "uid": 0, "password": "$6$salt$hash" }] }"#,
    instead: r#"{ "Users": [{ "username": "ada", "uid": 1000, "password": "$6$salt$hash" }] }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    for uid in template.users().iter().filter_map(|user| user.uid.as_ref()) {
        if !(1..=i128::from(u32::MAX)).contains(&uid.value) {
            out.report(uid.span, format!("uid {} is out of range", uid.value))
                .help("use a number from 1 to 4294967295");
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
            r##"{"Users": [{"uid": 0}, {"uid": "4294967296"}]}"##,
            &[r##"1:20 uid 0 is out of range"##, r##"1:32 uid 4294967296 is out of range"##],
        );
        check_rule(&super::RULE, r##"{"Users": [{"uid": 4294967295}]}"##, &[]);
    }
}
