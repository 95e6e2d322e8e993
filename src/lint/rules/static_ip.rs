//! `static-ip`: the static address is incomplete or invalid.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{StaticIp, Template};
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) static RULE: Rule = Rule {
    name: "static-ip",
    summary: "the static address is incomplete or invalid",
    level: Level::Error,
    why: "Without a valid address, prefix length and gateway, systemd-networkd ignores the configuration file and the machine has no network.",
    example: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10", "gateway": "192.0.2.1" } }"#,
    instead: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(network) = &template.static_ip else { return };
    let mut parsed = [None, None];
    for (index, (key, value)) in
        [("address", &network.address), ("gateway", &network.gateway)].into_iter().enumerate()
    {
        let Some(value) = value else {
            out.report(opening(network.span), format!("missing key `{key}` in `Static_IP`"))
                .help("add `address` and `gateway`; `iface` and `dns` are optional");
            continue;
        };
        let (text, prefix) = match value.split_once('/') {
            Some((text, prefix)) => (text, Some(prefix)),
            None => (value.as_str(), None),
        };
        match text.parse::<Ipv4Addr>() {
            Ok(address) => parsed[index] = Some(address),
            Err(_) => {
                out.report(value.span, format!("invalid IPv4 address `{text}`"))
                    .help("use four numbers from 0 to 255, for example 192.0.2.10");
            }
        }
        match (key, prefix) {
            ("address", None) => {
                out.report(value.span, format!("address `{}` has no prefix length", value.value))
                    .help("append the prefix length, for example 192.0.2.10/24");
            }
            ("address", Some(prefix)) if !prefix.parse::<u8>().is_ok_and(|bits| (1..=32).contains(&bits)) => {
                out.report(value.span, format!("invalid prefix length `{prefix}`"))
                    .help("use a number from 1 to 32");
            }
            ("gateway", Some(_)) => {
                out.report(value.span, "unexpected prefix length in `gateway`")
                    .help("remove the prefix length; only `address` has one");
            }
            _ => {}
        }
    }
    check_ipv6(network, out);
    if let Some(dns) = &network.dns {
        for server in
            dns.split([' ', ',']).filter(|s| !s.is_empty() && s.parse::<std::net::IpAddr>().is_err())
        {
            out.report(dns.span, format!("invalid name server address `{}`", server.escape_debug()))
                .help("use an IPv4 or IPv6 address; separate several addresses with spaces");
        }
    }
    if let ([Some(address), Some(gateway)], Some(value)) = (parsed, &network.gateway)
        && address == gateway
    {
        out.report(value.span, format!("`gateway` and `address` are the same, {gateway}"))
            .help("use the address of the subnet's router");
    }
}

fn check_ipv6(network: &StaticIp, out: &mut Findings) {
    let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    if let Some(value) = &network.address6 {
        let (text, prefix) = value.split_once('/').unwrap_or((value, ""));
        if !is_ipv6(text) {
            out.report(value.span, format!("invalid IPv6 address `{text}`"))
                .help("use an address with its prefix length, for example 2001:db8::10/64");
        } else if !prefix.parse::<u8>().is_ok_and(|bits| (1..=128).contains(&bits)) {
            out.report(value.span, format!("address `{}` has no prefix length from 1 to 128", value.value))
                .help("use an address with its prefix length, for example 2001:db8::10/64");
        }
    }
    if let Some(value) = &network.gateway6 {
        if !is_ipv6(value) {
            out.report(value.span, format!("invalid IPv6 address `{}`", value.value))
                .help("use the router's address without a prefix length, for example fe80::1");
        } else if network.address6.is_none() {
            out.report(value.span, "`gateway6` without `address6`")
                .help("add the IPv6 address of the machine as `address6`");
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
            r##"{"Static_IP": {"iface": "e", "address": "10.0.0.1", "gateway": "10.0.0.1"}}"##,
            &[
                r##"1:41 address `10.0.0.1` has no prefix length"##,
                r##"1:64 `gateway` and `address` are the same, 10.0.0.1"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"Static_IP": {"address": "300.0.0.1/24"}}"##,
            &[r##"1:15 missing key `gateway` in `Static_IP`"##, r##"1:27 invalid IPv4 address `300.0.0.1`"##],
        );
        check_rule(
            &super::RULE,
            r##"{"Static_IP": {"iface": "e", "address": "10.0.0.2/24", "gateway": "10.0.0.1"}}"##,
            &[],
        );
    }
}
