//! `static-ip`: the static address is incomplete or impossible.

use crate::lint::finding::{Check, Findings, Level, Rule, opening};
use crate::template::{StaticIp, Template};
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) static RULE: Rule = Rule {
    name: "static-ip",
    summary: "the static address is incomplete or impossible",
    level: Level::Error,
    why: "Without an address, a prefix length and a gateway that can be read, systemd-networkd ignores the file, and the machine has no network.",
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
            out.report(opening(network.span), format!("a static address needs `{key}`"))
                .help("iface, address and gateway belong together; dns is optional");
            continue;
        };
        let (text, prefix) = match value.split_once('/') {
            Some((text, prefix)) => (text, Some(prefix)),
            None => (value.as_str(), None),
        };
        match text.parse::<Ipv4Addr>() {
            Ok(address) => parsed[index] = Some(address),
            Err(_) => {
                out.report(value.span, format!("`{text}` is no IPv4 address"))
                    .help("four numbers from 0 to 255, for example 192.0.2.10");
            }
        }
        match (key, prefix) {
            ("address", None) => {
                out.report(value.span, format!("`{}` has no prefix length", value.value))
                    .help("for example 192.0.2.10/24");
            }
            ("address", Some(prefix)) if !prefix.parse::<u8>().is_ok_and(|bits| (1..=32).contains(&bits)) => {
                out.report(value.span, format!("`{prefix}` is no prefix length"))
                    .help("a number from 1 to 32");
            }
            ("gateway", Some(_)) => {
                out.report(value.span, "a gateway has no prefix length").help("only `address` has one");
            }
            _ => {}
        }
    }
    check_ipv6(network, out);
    if let Some(dns) = &network.dns {
        for server in
            dns.split([' ', ',']).filter(|s| !s.is_empty() && s.parse::<std::net::IpAddr>().is_err())
        {
            out.report(dns.span, format!("`{}` is no address of a name server", server.escape_debug()))
                .help("an IPv4 or IPv6 address; several are separated by spaces");
        }
    }
    if let ([Some(address), Some(gateway)], Some(value)) = (parsed, &network.gateway)
        && address == gateway
    {
        out.report(value.span, format!("the gateway is the address itself, {gateway}"))
            .help("the gateway is another machine: the router of this subnet");
    }
}

fn check_ipv6(network: &StaticIp, out: &mut Findings) {
    let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    if let Some(value) = &network.address6 {
        let (text, prefix) = value.split_once('/').unwrap_or((value, ""));
        if !is_ipv6(text) {
            out.report(value.span, format!("`{text}` is not an IPv6 address"))
                .help("for example 2001:db8::10/64");
        } else if !prefix.parse::<u8>().is_ok_and(|bits| (1..=128).contains(&bits)) {
            out.report(value.span, format!("`{}` has no prefix length from 1 to 128", value.value))
                .help("for example 2001:db8::10/64");
        }
    }
    if let Some(value) = &network.gateway6 {
        if !is_ipv6(value) {
            out.report(value.span, format!("`{}` is not an IPv6 address", value.value))
                .help("the router's address, without a prefix: fe80::1");
        } else if network.address6.is_none() {
            out.report(value.span, "`gateway6` without `address6`")
                .help("add the machine's own IPv6 address");
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn it_fires_where_it_should() {
        check_rule(
            &super::RULE,
            r##"{"Static_IP": {"iface": "e", "address": "10.0.0.1", "gateway": "10.0.0.1"}}"##,
            &[
                r##"1:41 `10.0.0.1` has no prefix length"##,
                r##"1:64 the gateway is the address itself, 10.0.0.1"##,
            ],
        );
        check_rule(
            &super::RULE,
            r##"{"Static_IP": {"address": "300.0.0.1/24"}}"##,
            &[r##"1:15 a static address needs `gateway`"##, r##"1:27 `300.0.0.1` is no IPv4 address"##],
        );
        check_rule(
            &super::RULE,
            r##"{"Static_IP": {"iface": "e", "address": "10.0.0.2/24", "gateway": "10.0.0.1"}}"##,
            &[],
        );
    }
}
