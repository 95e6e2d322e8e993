//! `static-ip-gateway`: the gateway is outside the subnet.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;
use std::net::Ipv4Addr;

pub(super) static RULE: Rule = Rule {
    name: "static-ip-gateway",
    summary: "the gateway is outside the subnet",
    level: Level::Warning,
    why: "A gateway must be reachable through the subnet of the address. systemd-networkd rejects a route through an unreachable gateway.",
    example: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "198.51.100.1" } }"#,
    instead: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(network) = &template.static_ip else { return };
    let (Some(value), Some(gateway)) = (&network.address, &network.gateway) else { return };
    let Some((address, prefix)) = value.split_once('/') else { return };
    let (Ok(address), Ok(prefix), Ok(via)) =
        (address.parse::<Ipv4Addr>(), prefix.parse::<u32>(), gateway.parse::<Ipv4Addr>())
    else {
        return;
    };
    if !(1..=32).contains(&prefix) {
        return;
    }
    let mask = u32::MAX << (32 - prefix);
    if u32::from(address) & mask != u32::from(via) & mask {
        let subnet = Ipv4Addr::from(u32::from(address) & mask);
        out.report(gateway.span, format!("the gateway {via} is outside {subnet}/{prefix}"))
            .label(value.span, "subnet defined here");
    }
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
    }
}
