//! Decides whether an instance used its cloud.

use super::super::session::Answer;
use super::super::verdict::Class;
use super::{Cloud, CloudLog, Instance, PROBE_NAME};

/// The commands that are run over ssh as the cloud's user.
pub(in crate::boot) const COMMANDS: [&str; 5] = [
    "timeout 300 cloud-init status --wait >/dev/null 2>&1; cat /run/cloud-init/result.json",
    "hostname",
    "sudo -n true",
    concat!("timeout 20 getent ahosts ", "resolves.ister.test"),
    "cat /sys/class/net/e*/mtu",
];

/// The verdict if the instance did not report, or the login failed with these lines.
pub(in crate::boot) fn judge_without_login(
    cloud: Cloud,
    log: &CloudLog,
    ssh: Vec<String>,
) -> (Class, Vec<String>) {
    let missing = missing(cloud, log);
    if log.requests.is_empty() && !cloud.required().is_empty() {
        return (Class::MetadataUnused, vec!["the guest sent no request to the metadata service".to_owned()]);
    }
    if log.phone_home.is_none() {
        let mut lines = missing;
        let class = if lines.is_empty() { Class::UserDataUnused } else { Class::MetadataUnused };
        lines.push("the guest did not execute its user data: no report arrived".to_owned());
        lines.extend(listed(log));
        return (class, lines);
    }
    (Class::NoSshKey, missing.into_iter().chain(ssh).collect())
}

fn missing(cloud: Cloud, log: &CloudLog) -> Vec<String> {
    let was_sent = |method: &str, part: &str| {
        log.requests.iter().any(|request| {
            request.method == method && request.path.contains(part) && (200..300).contains(&request.status)
        })
    };
    let required = cloud.required().iter().filter(|(method, part)| !was_sent(method, part));
    required.map(|(method, part)| format!("no successful request: {method} …{part}")).collect()
}

fn listed(log: &CloudLog) -> impl Iterator<Item = String> + '_ {
    log.requests.iter().take(20).map(|request| {
        let times = if request.count > 1 { format!(", {} times", request.count) } else { String::new() };
        format!("{} {}: status {}{times}", request.method, request.path, request.status)
    })
}

/// The first problem in the answers to [`COMMANDS`].
pub(in crate::boot) fn judge(
    cloud: Cloud,
    instance: &Instance,
    log: &CloudLog,
    answers: &[Answer],
) -> Option<(Class, Vec<String>)> {
    let [result, host, sudo, name, mtu, ..] = answers else {
        return Some((Class::SshFailed, vec!["the commands were not run".to_owned()]));
    };
    let missing = missing(cloud, log);
    if !missing.is_empty() {
        return Some((Class::MetadataUnused, missing));
    }
    let result: serde_json::Value = serde_json::from_str(&result.lines.join("\n")).unwrap_or_default();
    let source = result["v1"]["datasource"].as_str().unwrap_or("none");
    if !source.starts_with(cloud.data_source()) {
        let what = format!("cloud-init used the data source `{source}`, expected {}", cloud.data_source());
        return Some((Class::MetadataUnused, vec![what]));
    }
    let errors = result["v1"]["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !errors.is_empty() {
        let lines = errors.iter().map(|error| format!("cloud-init: {error}")).collect();
        return Some((Class::Degraded, lines));
    }
    let host = host.lines.last().map_or("", |line| line.trim());
    if host.split('.').next() != Some(instance.host.as_str()) {
        let what = format!("the host name is `{host}`, expected `{}`", instance.host);
        return Some((Class::WrongHost, vec![what]));
    }
    if sudo.status != 0 {
        return Some((Class::NoSudo, sudo.lines.clone()));
    }
    if name.status != 0 {
        return Some((Class::NoDns, vec![format!("`{PROBE_NAME}` could not be resolved")]));
    }
    let mtu = mtu.lines.last().map_or("", |line| line.trim());
    if let Some(announced) = cloud.mtu()
        && mtu != announced.to_string()
    {
        let what = format!("the MTU is `{mtu}`, expected {announced}, which DHCP announced");
        return Some((Class::WrongNetwork, vec![what]));
    }
    None
}
