//! `hostname`: the host name is invalid.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "hostname",
    summary: "the host name is invalid",
    level: Level::Error,
    why: "/etc/hostname contains a single label as defined in RFC 1123: letters, digits and hyphens. systemd rejects other names at boot and uses `localhost`.",
    example: r#"{ "Hostname": "web.example.org" }"#,
    instead: r#"{ "Hostname": "web" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(name) = &template.hostname else { return };
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fault = if name.is_empty() {
        "empty"
    } else if name.chars().count() > 64 {
        "more than 64 characters"
    } else if !name.chars().all(letters) {
        "only letters, digits and `-` are allowed"
    } else if name.starts_with('-') {
        "starts with `-`"
    } else {
        return;
    };
    let report = out.report(name.span, format!("invalid host name `{}`: {fault}", name.value.escape_debug()));
    // The first label of a fully qualified name is the host name.
    let label = name.split('.').next().unwrap_or_default();
    if name.contains('.')
        && !label.is_empty()
        && !label.starts_with('-')
        && label.len() <= 63
        && label.chars().all(letters)
    {
        report
            .help("use the name without its domain; the domain comes from DHCP or from Domains= of systemd-networkd")
            .fix(Fix::unsafe_(format!("replace with `{label}`"), Change::string(name.span, label)));
    } else {
        report.help("use a host name as defined in RFC 1123, for example `web-1`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r##"{"Hostname": "-a"}"##,
            &[r##"1:14 invalid host name `-a`: starts with `-`"##],
        );
        check_rule(
            &super::RULE,
            r##"{"Hostname": "a.b"}"##,
            &[r##"1:14 invalid host name `a.b`: only letters, digits and `-` are allowed"##],
        );
        check_rule(&super::RULE, r##"{"Hostname": "web-1"}"##, &[]);
    }
}
