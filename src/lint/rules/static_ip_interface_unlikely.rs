//! `static-ip-interface-unlikely`: virtual machines rarely have this network interface.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Change, Fix, Template};

pub(super) static RULE: Rule = Rule {
    name: "static-ip-interface-unlikely",
    summary: "virtual machines rarely have this network interface",
    level: Level::Warning,
    why: "The address is set only on the interface with this name. Without it the machine gets another address by DHCP. Network cards of virtual machines are named after their PCI slot, for example enp1s0 or ens4; only on Hyper-V, Azure and Xen, or with `net.ifnames=0`, they are named eth0. Source: systemd.net-naming-scheme(7).",
    example: r#"{ "Static_IP": { "iface": "eno1", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    instead: r#"{ "Static_IP": { "iface": "en*", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(name) = template.static_ip.as_ref().and_then(|network| network.iface.as_ref()) else { return };
    if template.is_physical() {
        return;
    }
    let rare =
        |what: &str| format!("`{}` is the name of {what}, which virtual machines rarely have", name.value);
    let message = match name.as_str() {
        "lo" => "`lo` is the loopback interface".to_owned(),
        text if is_numbered(text, "eth") || text == "eth*" => {
            let options = template.cmdline.as_ref().map_or("", |options| options.value.as_str());
            let has_eth = template.bundles().iter().any(|b| b.contains("hyperv") || b.contains("azure"));
            if has_eth || options.split_whitespace().any(|word| word == "net.ifnames=0") {
                return;
            }
            format!("the interface `{text}` exists only on Hyper-V, Azure and Xen, or with `net.ifnames=0`")
        }
        // VMware numbered its on-board cards from 16777736.
        text if text.starts_with("eno") && !text.starts_with("eno1677") => rare("an on-board network card"),
        text if is_numbered(text, "em") => rare("an on-board network card"),
        text if text.starts_with("wl") => rare("a wireless network card"),
        text if text.starts_with("ww") => rare("a modem"),
        text if is_numbered(text, "usb") => rare("a USB network card"),
        _ => return,
    };
    out.report(name.span, message)
        .help("use `en*`, or leave out `iface` to use any Ethernet interface")
        .fix(Fix::unsafe_("replace with `en*`", Change::string(name.span, "en*")));
}

fn is_numbered(name: &str, kind: &str) -> bool {
    name.strip_prefix(kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let with = |more: &str, name: &str| format!(r#"{{{more}"Static_IP": {{"iface": "{name}"}}}}"#);
        check_rule(
            &super::RULE,
            &with("", "eno1"),
            &["1:25 `eno1` is the name of an on-board network card, which virtual machines rarely have"],
        );
        check_rule(
            &super::RULE,
            &with("", "eth0"),
            &["1:25 the interface `eth0` exists only on Hyper-V, Azure and Xen, or with `net.ifnames=0`"],
        );
        for name in ["en*", "enp0s3", "ens4", "eno16777736", "!en*", "enX0"] {
            check_rule(&super::RULE, &with("", name), &[]);
        }
        check_rule(&super::RULE, &with(r#""cmdline": "net.ifnames=0", "#, "eth0"), &[]);
        check_rule(&super::RULE, &with(r#""Bundles": ["kernel-hyperv"], "#, "eth0"), &[]);
        check_rule(&super::RULE, &with(r#""DestinationType": "physical", "#, "eno1"), &[]);
    }
}
