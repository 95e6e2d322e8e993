//! Compares the host name, addresses, routes and name servers of the running guest with the plan. Pure.

use super::session::Answer;
use crate::plan::Plan;

/// Prints marked lines: the host name, what it resolves to, addresses, routes, and the name servers of resolv.conf(5)
/// and systemd-resolved.
pub(super) const STATE: &str = "name=$(cat /proc/sys/kernel/hostname); echo \"name $name\"; \
    getent ahosts \"$name\" | sed 's/^/resolved /'; \
    ip -o address 2>/dev/null | sed 's/^/address /'; { ip route; ip -6 route; } 2>/dev/null | sed 's/^/route /'; \
    { cat /etc/resolv.conf; resolvectl dns; } 2>/dev/null | sed 's/^/server /'";

/// The file in which [`crate::plan`] writes a static address. Source: systemd.network(5).
const STATIC: &str = "/etc/systemd/network/10-en-static.network";

/// The differences from the plan, one sentence each.
pub(super) fn judge(answer: &Answer, plan: &Plan, host: Option<&str>) -> Vec<String> {
    let mut wrong = Vec::new();
    let marked = |mark: &'static str| {
        answer.lines.iter().filter_map(move |line| line.strip_prefix(mark)?.strip_prefix(' '))
    };
    let Some(name) = marked("name").next() else { return wrong };
    if let Some(expected) = host.or(plan.system.hostname.as_deref())
        && name != expected
    {
        wrong.push(format!("the host name is `{name}`, expected `{expected}`"));
    }
    if marked("resolved").next().is_none() {
        wrong.push(format!(
            "the host name `{name}` cannot be resolved: add it to /etc/hosts, or install libnss-myhostname"
        ));
    }
    let settings = plan.system.files.get(STATIC).map_or("", String::as_str);
    let planned = |key: &'static str| {
        settings.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let has =
        |mark: &'static str, word: &str| marked(mark).any(|line| line.split_whitespace().any(|w| w == word));
    for address in planned("Address").filter(|address| !has("address", address)) {
        wrong.push(format!("no interface has the address {address}"));
    }
    for gateway in planned("Gateway") {
        // The default route may be shared with a router that announced itself, with one line each.
        let is_default = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            matches!(words.first(), Some(&"default" | &"nexthop")) && words.contains(&gateway)
        };
        if !marked("route").any(is_default) {
            wrong.push(format!("there is no default route through {gateway}"));
        }
    }
    for server in planned("DNS").flat_map(str::split_whitespace).filter(|server| !has("server", server)) {
        wrong.push(format!("the name server {server} is not configured"));
    }
    if !wrong.is_empty() {
        wrong.extend(answer.lines.iter().cloned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::bundle;
    use crate::plan::{Inputs, decide};
    use crate::template::{SourceText, parse};

    #[test]
    fn network_state_is_compared_with_the_plan() {
        let text = include_str!("../../vm-tests/kvm/template.json").replacen(
            '{',
            r#"{"Static_IP": {"address": "192.0.2.10/24", "gateway": "192.0.2.1", "dns": "192.0.2.53",
                "address6": "2001:db8::10/64", "gateway6": "fe80::1"},"#,
            1,
        );
        let (template, node, faults) = parse(&SourceText::new("t.json", text));
        assert_eq!(faults, []);
        let (plan, _) = decide(&template, &node, &Inputs::new(&bundle::builtin())).unwrap();
        let lines = [
            "name kvm",
            "resolved 127.0.1.1       STREAM kvm",
            "address 2: enp0s3    inet 192.0.2.10/24 brd 192.0.2.255 scope global enp0s3",
            "address 2: enp0s3    inet6 2001:db8::10/64 scope global",
            "route default via 192.0.2.1 dev enp0s3 proto static",
            "route default proto static metric 1024 pref medium",
            "route \tnexthop via fe80::1 dev enp0s3 weight 1",
            "route \tnexthop via fe80::2 dev enp0s3 weight 1",
            "server Link 2 (enp0s3): 192.0.2.53",
        ];
        let judged = |leave_out: &str, host| {
            let lines = lines.iter().filter(|line| leave_out.is_empty() || !line.contains(leave_out));
            let lines = lines.map(|line| (*line).to_owned()).collect();
            judge(&Answer { command: String::new(), status: 0, lines }, &plan, host)
        };
        assert_eq!(judged("", None), [""; 0]);
        assert_eq!(judged("192.0.2.10/24", None)[0], "no interface has the address 192.0.2.10/24");
        assert_eq!(judged("fe80::1", None)[0], "there is no default route through fe80::1");
        assert_eq!(judged("server", None)[0], "the name server 192.0.2.53 is not configured");
        assert!(judged("resolved", None)[0].contains("cannot be resolved"));
        assert_eq!(judged("", Some("other"))[0], "the host name is `kvm`, expected `other`");
    }
}
