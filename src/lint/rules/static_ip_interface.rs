//! `static-ip-interface`: a network interface cannot have this name.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "static-ip-interface",
    summary: "a network interface cannot have this name",
    level: Level::Error,
    why: "Linux gives an interface's name 15 bytes (IFNAMSIZ), without spaces and slashes. systemd-networkd would match no interface.",
    example: r#"{ "Static_IP": { "iface": "ethernet-upstairs", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    instead: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(name) = template.static_ip.as_ref().and_then(|network| network.iface.as_ref()) else { return };
    let what = if name.is_empty() {
        "it is empty"
    } else if name.len() > 15 {
        "it has more than 15 bytes"
    } else if matches!(name.as_str(), "." | "..")
        || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
    {
        "spaces, `/` and `:` cannot stand in it"
    } else {
        return;
    };
    out.report(name.span, format!("no interface is called `{}`: {what}", name.value.escape_debug()))
        .help("for example `enp0s1`; `en*` is every Ethernet interface");
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r#"{"Static_IP": {"iface": "a b"}}"#,
            &["1:25 no interface is called `a b`: spaces, `/` and `:` cannot stand in it"],
        );
        check_rule(&super::RULE, r#"{"Static_IP": {"iface": "en*"}}"#, &[]);
    }
}
