//! `hostname`: the host name is not one.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "hostname",
    summary: "the host name is not one",
    level: Level::Error,
    why: "/etc/hostname holds one label as in RFC 1123: letters, digits and dashes. systemd refuses anything else at boot, and the machine is called `localhost`.",
    example: r#"{ "Hostname": "web.example.org" }"#,
    instead: r#"{ "Hostname": "web" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(name) = &template.hostname else { return };
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fault = if name.is_empty() {
        "it is empty"
    } else if name.chars().count() > 64 {
        "it has more than 64 characters"
    } else if !name.chars().all(letters) {
        "only letters, digits and `-` may stand in it"
    } else if name.starts_with('-') {
        "it starts with `-`"
    } else {
        return;
    };
    let report = out.report(name.span, format!("`{}` is no host name: {fault}", name.value.escape_debug()));
    // What a full name begins with is the host's own.
    let label = name.split('.').next().unwrap_or_default();
    if name.contains('.')
        && !label.is_empty()
        && !label.starts_with('-')
        && label.len() <= 63
        && label.chars().all(letters)
    {
        report
            .help("the domain is the network's to say: DHCP, or Domains= of systemd-networkd")
            .fix(Fix::unsafe_(format!("write `{label}`"), Change::string(name.span, label)));
    } else {
        report.help("a host name as in RFC 1123, for example `web-1`");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"Hostname": "-a"}"##,
            &[r##"1:14 `-a` is no host name: it starts with `-`"##],
        );
        check_rule(
            &super::RULE,
            r##"{"Hostname": "a.b"}"##,
            &[r##"1:14 `a.b` is no host name: only letters, digits and `-` may stand in it"##],
        );
        check_rule(&super::RULE, r##"{"Hostname": "web-1"}"##, &[]);
    }
}
