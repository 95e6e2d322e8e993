//! `hostname-dash`: the host name ends with a hyphen.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "hostname-dash",
    summary: "the host name ends with a hyphen",
    level: Level::Warning,
    why: "RFC 1123 requires a letter or digit at both ends. DNS servers and certificate authorities reject the name.",
    example: r#"{ "Hostname": "web-" }"#,
    instead: r#"{ "Hostname": "web" }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(name) = &template.hostname else { return };
    let plain = name.trim_end_matches('-');
    if plain.len() < name.len() && !plain.is_empty() {
        out.report(name.span, format!("the host name `{}` ends with a hyphen", name.value.escape_debug()))
            .help("end it with a letter or digit (RFC 1123)")
            .fix(Fix::unsafe_(format!("replace with `{plain}`"), Change::string(name.span, plain)));
    }
}
