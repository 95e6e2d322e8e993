//! `static-ip-interface`: the network interface name is invalid.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "static-ip-interface",
    summary: "the network interface name is invalid",
    level: Level::Error,
    why: "Linux limits interface names to 15 bytes (IFNAMSIZ), without spaces and slashes. systemd-networkd would match no interface.",
    example: r#"{ "Static_IP": { "iface": "ethernet-upstairs", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    instead: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(name) = template.static_ip.as_ref().and_then(|network| network.iface.as_ref()) else { return };
    let what = if name.is_empty() {
        "empty"
    } else if name.len() > 15 {
        "more than 15 bytes"
    } else if matches!(name.as_str(), "." | "..")
        || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
    {
        "spaces, `/` and `:` are not allowed"
    } else {
        return;
    };
    out.report(name.span, format!("invalid interface name `{}`: {what}", name.value.escape_debug()))
        .help("use a name such as `enp0s1`, or `en*` for all Ethernet interfaces");
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Static_IP": {"iface": "a b"}}"#,
            &["1:25 invalid interface name `a b`: spaces, `/` and `:` are not allowed"],
        );
        check_rule(&super::RULE, r#"{"Static_IP": {"iface": "en*"}}"#, &[]);
    }
}
