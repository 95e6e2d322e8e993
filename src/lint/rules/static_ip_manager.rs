//! `static-ip-manager`: the network manager in the image ignores the static address.

use crate::lint::content::BundleContent;
use crate::lint::finding::{Check, Findings, Level, Rule};
use crate::plan::NETWORK_MANAGERS;
use crate::template::Template;

pub(super) static RULE: Rule = Rule {
    name: "static-ip-manager",
    summary: "the network manager in the image ignores the static address",
    level: Level::Warning,
    why: "`Static_IP` is written for systemd-networkd. With a package of another network manager, systemd-networkd is not enabled, and the machine gets another address by DHCP or none.",
    example: r#"{
    "SoftwareManager": "apt",
    "Bundles": ["bootloader", "kernel-kvm", "network-manager", "os-core"],
    "Static_IP": { "address": "192.0.2.10/24", "gateway": "192.0.2.1" }
}"#,
    instead: r#"{
    "SoftwareManager": "apt",
    "Bundles": ["bootloader", "kernel-kvm", "os-core"],
    "Static_IP": { "address": "192.0.2.10/24", "gateway": "192.0.2.1" }
}"#,
    check: Check::BundleContent(check),
};

fn check(template: &Template, content: &BundleContent, out: &mut Findings) {
    let Some(network) = template.static_ip.as_ref().filter(|_| content.is_apt()) else { return };
    // resolvconf and openresolv manage only name servers.
    let managers = NETWORK_MANAGERS.iter().filter(|name| !name.contains("resolv"));
    if let Some(manager) = managers.into_iter().find(|name| content.has_package(name)) {
        out.report(network.span, format!("`{manager}` manages the network and ignores `Static_IP`"))
            .help("remove its package, or replace `Static_IP` with a hook that configures it");
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::rules::tests::check_rule;

    #[test]
    fn reports_expected_findings() {
        let with = |bundle: &str| {
            format!(r#"{{"SoftwareManager": "apt", "Bundles": ["{bundle}"], "Static_IP": {{"iface": "e"}}}}"#)
        };
        check_rule(
            &super::RULE,
            &with("network-manager"),
            &["1:73 `network-manager` manages the network and ignores `Static_IP`"],
        );
        check_rule(&super::RULE, &with("openresolv"), &[]);
    }
}
