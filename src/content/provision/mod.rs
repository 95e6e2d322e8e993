//! What role this machine has, as ister-cloud-init-svc knows it: `IsterCloudInitSvc`.
//!
//! The service knows machines by the MAC address of the interface that leads to it: `get_config/MAC` answers
//! `{"role": R}`, `get_role/R` the role's user data. Everything is asked before anything is written.

use crate::content::fetch::{FetchError, fetch};
use crate::host::{Context, Failure, Invocation, run};
use crate::template::shown_url as shown;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};
use url::{Host, Url};

/// As with `isterconf=`: the network may not be up yet.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    /// For cloud-init; passwords may be in it.
    pub user_data: Vec<u8>,
}

/// The machine's role, or nothing if the service gives it none.
pub fn role(service: &str) -> Result<Option<Role>, Failure> {
    let context = |failure: Failure| {
        failure.context(format!("could not learn this machine's role from `{}`", shown(service)))
    };
    let base = Url::parse(service).map_err(|error| context(Failure::new(error.to_string())))?;
    let mac = mac_towards(&base).map_err(context)?;
    log::debug!("this machine is {mac} for {}", shown(service));
    let place = |what: &str, name: &str| {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(what).push(name);
        }
        url.to_string()
    };
    let configuration = match fetch(&place("get_config", &mac), PATIENCE) {
        Ok(bytes) => bytes,
        // A machine that the service does not know.
        Err(FetchError::Missing(_)) => return Ok(None),
        Err(FetchError::Failed(failure)) => return Err(context(failure)),
    };
    let Some(name) = role_name(&configuration).map_err(context)? else { return Ok(None) };
    let user_data = fetch(&place("get_role", &name), PATIENCE)
        .map_err(|error| context(Failure::from(error).context(format!("the role `{name}` cannot be had"))))?;
    Ok(Some(Role { name, user_data }))
}

/// `{"role": R}`; no role, or an empty one, means none.
fn role_name(answer: &[u8]) -> Result<Option<String>, Failure> {
    let wrong = |why: String| Failure::new("the service's answer makes no sense").detail(why);
    let answer: serde_json::Value =
        serde_json::from_slice(answer).map_err(|error| wrong(error.to_string()))?;
    match answer.get("role") {
        _ if !answer.is_object() => Err(wrong("expected {\"role\": NAME}".to_owned())),
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(name)) if name.is_empty() => Ok(None),
        Some(serde_json::Value::String(name)) => Ok(Some(name.clone())),
        Some(other) => Err(wrong(format!("`role` is {other}, expected a name"))),
    }
}

/// The MAC address of the interface that packets to the service leave by.
fn mac_towards(service: &Url) -> Result<String, Failure> {
    let until = Instant::now() + PATIENCE;
    let interface = loop {
        match interface_towards(service) {
            Ok(interface) => break interface,
            Err(failure) if Instant::now() >= until => return Err(failure),
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    };
    let file = Path::new("/sys/class/net").join(&interface).join("address");
    let mac = std::fs::read_to_string(&file).unwrap_or_default().trim().to_owned();
    if mac.is_empty() {
        return Err(Failure::new(format!("the interface {interface} has no MAC address"))
            .detail(format!("looked in {}", file.display())));
    }
    Ok(mac)
}

/// The interface of the first of the service's addresses that has a route.
fn interface_towards(service: &Url) -> Result<String, Failure> {
    let addresses = match service.host() {
        Some(Host::Ipv4(address)) => vec![IpAddr::V4(address)],
        Some(Host::Ipv6(address)) => vec![IpAddr::V6(address)],
        Some(Host::Domain(name)) => (name, service.port_or_known_default().unwrap_or(80))
            .to_socket_addrs()
            .context(|| format!("`{name}` has no address"))?
            .map(|address| address.ip())
            .collect(),
        None => Vec::new(),
    };
    let mut last = Failure::new("the URL names no host").help("correct IsterCloudInitSvc");
    for address in addresses {
        let routes = run(&Invocation::new("ip").args(["-json", "route", "get", &address.to_string()]));
        match routes.map(|routes| interface(&routes.stdout)) {
            Ok(Some(interface)) => return Ok(interface),
            Ok(None) => last = Failure::new(format!("`ip route get {address}` names no interface")),
            Err(failure) => last = failure.context(format!("there is no route to {address}")),
        }
    }
    Err(last)
}

/// From `ip -json route get`: an address of this machine itself is reached over lo.
fn interface(routes: &[u8]) -> Option<String> {
    let routes: serde_json::Value = serde_json::from_slice(routes).ok()?;
    let name = routes.get(0)?.get("dev")?.as_str()?;
    // It becomes part of a path.
    (!name.contains('/') && !name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_service() {
        let name = |text: &str| role_name(text.as_bytes()).map_err(|failure| failure.details[0].clone());
        assert_eq!(name(r#"{"role": "web"}"#), Ok(Some("web".to_owned())));
        assert_eq!(name("{}"), Ok(None));
        assert_eq!(name(r#"{"role": ""}"#), Ok(None));
        assert_eq!(name(r#"{"role": 1}"#), Err("`role` is 1, expected a name".to_owned()));
        assert!(name("[]").is_err() && name("no").is_err());
    }

    #[test]
    fn the_interface_of_a_route() {
        let routes = br#"[{"dst":"10.0.2.2","dev":"ens3","prefsrc":"10.0.2.15"}]"#;
        assert_eq!(interface(routes).as_deref(), Some("ens3"));
        assert_eq!(interface(b"[]"), None);
        assert_eq!(interface(br#"[{"dev":"../x"}]"#), None);
    }
}
