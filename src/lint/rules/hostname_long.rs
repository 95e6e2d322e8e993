//! `hostname-long`: the host name is longer than RFC 1123 allows.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "hostname-long",
    summary: "the host name is longer than RFC 1123 allows",
    level: Level::Warning,
    why: "The kernel allows 64 characters, but RFC 1123 (section 2.1) and DNS allow 63. DHCP clients and certificate authorities reject or truncate the name.",
    example: r#"{ "Hostname": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }"#,
    instead: r#"{ "Hostname": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(name) = template.hostname.as_ref().filter(|name| name.chars().count() == 64) else { return };
    out.report(name.span, "the host name has 64 characters, RFC 1123 allows 63")
        .help("shorten it to 63 characters or less");
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let name = |length: usize| format!(r#"{{"Hostname": "{}"}}"#, "a".repeat(length));
        check_rule(&super::RULE, &name(64), &["1:14 the host name has 64 characters, RFC 1123 allows 63"]);
        check_rule(&super::RULE, &name(63), &[]);
    }
}
