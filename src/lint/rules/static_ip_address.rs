//! `static-ip-address`: the static address or the gateway is a network or broadcast address.

use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::template::Template;
use std::net::Ipv4Addr;

pub(super) static RULE: Rule = Rule {
    name: "static-ip-address",
    summary: "the static address or the gateway is a network or broadcast address",
    level: Level::Error,
    why: "The first address of a subnet is the network address and the last one the broadcast address. Hosts cannot use them (RFC 1122, section 3.2.1.3). /31 and /32 have neither.",
    example: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.0/24", "gateway": "192.0.2.1" } }"#,
    instead: r#"{ "Static_IP": { "iface": "enp0s1", "address": "192.0.2.10/24", "gateway": "192.0.2.1" } }"#,
    check: Check::Template(check),
};

fn check(template: &Template, out: &mut Findings) {
    let Some(network) = &template.static_ip else { return };
    let Some((address, prefix)) = network.address.as_ref().and_then(|value| value.split_once('/')) else {
        return;
    };
    let (Ok(address), Ok(prefix)) = (address.parse::<Ipv4Addr>(), prefix.parse::<u32>()) else { return };
    if !(1..=30).contains(&prefix) {
        return;
    }
    let host = u32::MAX >> prefix;
    let gateway = network.gateway.as_ref().and_then(|value| value.parse::<Ipv4Addr>().ok());
    let gateway = gateway.filter(|gateway| (u32::from(*gateway) ^ u32::from(address)) & !host == 0);
    for (value, parsed) in [(&network.address, Some(address)), (&network.gateway, gateway)] {
        let (Some(value), Some(parsed)) = (value, parsed) else { continue };
        let what = match u32::from(parsed) & host {
            0 => "the network address",
            bits if bits == host => "the broadcast address",
            _ => continue,
        };
        out.report(value.span, format!("invalid host address {parsed}/{prefix}: it is {what} of the subnet"))
            .help("use another address of the subnet");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        check_rule(
            &super::RULE,
            r#"{"Static_IP": {"address": "10.1.255.255/16"}}"#,
            &["1:27 invalid host address 10.1.255.255/16: it is the broadcast address of the subnet"],
        );
        check_rule(
            &super::RULE,
            r#"{"Static_IP": {"address": "10.0.0.5/24", "gateway": "10.0.0.0"}}"#,
            &["1:53 invalid host address 10.0.0.0/24: it is the network address of the subnet"],
        );
        check_rule(&super::RULE, r#"{"Static_IP": {"address": "10.1.255.255/8"}}"#, &[]);
        check_rule(&super::RULE, r#"{"Static_IP": {"address": "10.0.0.0/31"}}"#, &[]);
    }
}
