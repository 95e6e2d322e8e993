//! `static-ip-gateway`: the gateway is outside the subnet.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::{Spanned, Template};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

pub(super) static RULE: Rule = Rule {
    name: "static-ip-gateway",
    summary: "the gateway is outside the subnet",
    level: Level::Warning,
    why: "A gateway must be reachable through the subnet of the address. systemd-networkd rejects a route through an unreachable gateway. With the prefix lengths 32 and 128, which some providers use, ister writes `GatewayOnLink=yes`.",
    example: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "198.51.100.1" } }"#,
    instead: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(network) = &template.static_ip else { return };
    if let (Some(value), Some(gateway)) = (&network.address, &network.gateway)
        && let (Some((address, prefix @ 1..=31)), Ok(via)) =
            (subnet::<Ipv4Addr>(value), gateway.parse::<Ipv4Addr>())
    {
        let hosts = u32::MAX >> prefix;
        if (u32::from(address) ^ u32::from(via)) & !hosts != 0 {
            let subnet = Ipv4Addr::from(u32::from(address) & !hosts);
            report(value, gateway, format!("the gateway {via} is outside {subnet}/{prefix}"), out);
        }
    }
    // Link-local gateways are on every link.
    if let (Some(value), Some(gateway)) = (&network.address6, &network.gateway6)
        && let (Some((address, prefix @ 1..=127)), Ok(via)) =
            (subnet::<Ipv6Addr>(value), gateway.parse::<Ipv6Addr>())
        && !via.is_unicast_link_local()
    {
        let hosts = u128::MAX >> prefix;
        if (u128::from(address) ^ u128::from(via)) & !hosts != 0 {
            let subnet = Ipv6Addr::from(u128::from(address) & !hosts);
            report(value, gateway, format!("the gateway {via} is outside {subnet}/{prefix}"), out);
        }
    }
}

/// The address and the prefix length. Invalid ones are reported by `static-ip`.
fn subnet<A: FromStr>(text: &str) -> Option<(A, u32)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, prefix.parse().ok()?))
}

fn report(address: &Spanned<String>, gateway: &Spanned<String>, message: String, out: &mut Findings) {
    out.report(gateway.span, message)
        .label(address.span, "subnet defined here")
        .help("if the provider gives single addresses, use the prefix length 32 (IPv6: 128): the gateway is then reached directly");
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Static_IP": {"address": "10.0.0.2/30", "gateway": "10.0.0.5"}}"#,
            &["1:53 the gateway 10.0.0.5 is outside 10.0.0.0/30"],
        );
        check_rule(
            &super::RULE,
            r#"{"Static_IP": {"address": "10.0.0.2/32", "gateway": "192.0.2.1", "address6": "2001:db8::2/64", "gateway6": "2001:db8:1::1"}}"#,
            &["1:108 the gateway 2001:db8:1::1 is outside 2001:db8::/64"],
        );
        check_rule(
            &super::RULE,
            r#"{"Static_IP": {"address": "10.0.0.2/24", "gateway": "10.0.0.1", "address6": "2001:db8::2/128", "gateway6": "fe80::1"}}"#,
            &[],
        );
    }
}
