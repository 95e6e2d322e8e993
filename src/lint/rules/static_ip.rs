//! `static-ip`: the static address is incomplete or invalid.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{StaticIp, Template};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
            Ok(address) => {
                parsed[index] = Some(address);
                if let Some(what) = unusable(address) {
                    out.report(value.span, format!("{what} `{text}` cannot be used as `{key}`"))
                        .help("use an address of a machine in the subnet, for example 192.0.2.10");
                }
            }
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
            dns.split([' ', ',']).filter(|s| !s.is_empty() && !s.parse::<IpAddr>().is_ok_and(is_server))
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

/// What an address is that no machine in a network has. Source: RFC 6890.
fn unusable(address: Ipv4Addr) -> Option<&'static str> {
    match address {
        address if address.is_loopback() => Some("the loopback address"),
        address if address.is_multicast() => Some("the multicast address"),
        address if address.is_broadcast() => Some("the broadcast address"),
        address if address.octets()[0] == 0 => Some("the unspecified address"),
        _ => None,
    }
}

fn is_server(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

fn check_ipv6(network: &StaticIp, out: &mut Findings) {
    let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    if let Some(value) = &network.address6 {
        let (text, prefix) = value.split_once('/').unwrap_or((value, ""));
        if !is_ipv6(text) {
            out.report(value.span, format!("invalid IPv6 address `{text}`"))
                .help("use an address with its prefix length, for example 2001:db8::10/64");
        } else if text
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback() || !is_server(address.into()))
        {
            out.report(value.span, format!("no machine in a network has the address `{text}`"))
                .help("use an address of the subnet, for example 2001:db8::10/64");
        } else if !prefix.parse::<u8>().is_ok_and(|bits| (1..=128).contains(&bits)) {
            out.report(value.span, format!("address `{}` has no prefix length from 1 to 128", value.value))
                .help("use an address with its prefix length, for example 2001:db8::10/64");
        }
    }
    if let Some(value) = &network.gateway6 {
        if !is_ipv6(value) {
            out.report(value.span, format!("invalid IPv6 address `{}`", value.value))
                .help("use the router's address without a prefix length, for example fe80::1");
        } else if network.address6.as_ref().is_some_and(|address| is_same_ipv6(address, value)) {
            out.report(value.span, format!("`gateway6` and `address6` are the same, {}", value.value))
                .help("use the address of the subnet's router");
        } else if network.address6.is_none() {
            out.report(value.span, "`gateway6` without `address6`")
                .help("add the IPv6 address of the machine as `address6`");
        }
    }
}

fn is_same_ipv6(address: &str, gateway: &str) -> bool {
    let parse = |text: &str| text.parse::<Ipv6Addr>().ok();
    parse(address.split('/').next().unwrap_or_default()) == parse(gateway)
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
        check_rule(
            &super::RULE,
            r##"{"Static_IP": {"address": "127.0.0.1/8", "gateway": "224.0.0.5", "dns": "0.0.0.0 ::1"}}"##,
            &[
                "1:27 the loopback address `127.0.0.1` cannot be used as `address`",
                "1:53 the multicast address `224.0.0.5` cannot be used as `gateway`",
                "1:73 invalid name server address `0.0.0.0`",
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"Static_IP": {"address": "10.0.0.0/31", "gateway": "10.0.0.1", "address6": "ff02::1/64", "gateway6": "ff02::1"}}"##,
            &[
                "1:77 no machine in a network has the address `ff02::1`",
                "1:103 `gateway6` and `address6` are the same, ff02::1",
            ],
        );
    }
}
