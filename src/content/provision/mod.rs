//! Queries ister-cloud-init-svc for the role of this machine: `IsterCloudInitSvc`.
//!
//! The service identifies a machine by the MAC address of the interface with the route to the service. `get_config/MAC`
//! returns `{"role": R}`, and `get_role/R` returns the user data of the role. All requests complete before anything is
//! written.

use crate::content::fetch::{FetchError, fetch};
use crate::host::{Context, Failure, Invocation, run};
use crate::template::display_url as shown;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};
use url::{Host, Url};

/// Same as for `isterconf=`: the network may not be up yet.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    /// User data for cloud-init. May contain passwords.
    pub user_data: Vec<u8>,
}

/// Returns the role of this machine, or `None` if the service does not assign one.
pub fn role(service: &str) -> Result<Option<Role>, Failure> {
    let context = |failure: Failure| {
        failure.context(format!("could not query the role of this machine from `{}`", shown(service)))
    };
    let base = Url::parse(service).map_err(|error| context(Failure::new(error.to_string())))?;
    let mac = mac_towards(&base).map_err(context)?;
    log::debug!("querying {} with MAC address {mac}", shown(service));
    let place = |what: &str, name: &str| {
        let mut url = base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(what).push(name);
        }
        url.to_string()
    };
    let configuration = match fetch(&place("get_config", &mac), PATIENCE) {
        Ok(bytes) => bytes,
        // The service has no entry for this machine.
        Err(FetchError::Missing(_)) => return Ok(None),
        Err(FetchError::Failed(failure)) => return Err(context(failure)),
    };
    let Some(name) = role_name(&configuration).map_err(context)? else { return Ok(None) };
    let user_data = fetch(&place("get_role", &name), PATIENCE).map_err(|error| {
        context(Failure::from(error).context(format!("could not fetch the role `{name}`")))
    })?;
    Ok(Some(Role { name, user_data }))
}

/// Parses `{"role": R}`. A missing or empty role means none.
fn role_name(answer: &[u8]) -> Result<Option<String>, Failure> {
    let wrong = |why: String| Failure::new("invalid response from the service").detail(why);
    let answer: serde_json::Value =
        serde_json::from_slice(answer).map_err(|error| wrong(error.to_string()))?;
    match answer.get("role") {
        _ if !answer.is_object() => Err(wrong("expected {\"role\": NAME}".to_owned())),
        None | Some(serde_json::Value::Null) => Ok(None),
        Some(serde_json::Value::String(name)) if name.is_empty() => Ok(None),
        Some(serde_json::Value::String(name)) => Ok(Some(name.clone())),
        Some(other) => Err(wrong(format!("`role` is {other}, expected a string"))),
    }
}

/// Returns the MAC address of the interface with the route to the service.
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
        return Err(Failure::new(format!("the interface `{interface}` has no MAC address"))
            .detail(format!("source: `{}`", file.display())));
    }
    Ok(mac)
}

/// Returns the interface for the first address of the service that has a route.
fn interface_towards(service: &Url) -> Result<String, Failure> {
    let addresses = match service.host() {
        Some(Host::Ipv4(address)) => vec![IpAddr::V4(address)],
        Some(Host::Ipv6(address)) => vec![IpAddr::V6(address)],
        Some(Host::Domain(name)) => (name, service.port_or_known_default().unwrap_or(80))
            .to_socket_addrs()
            .context(|| format!("could not resolve `{name}`"))?
            .map(|address| address.ip())
            .collect(),
        None => Vec::new(),
    };
    let mut last = Failure::new("the URL has no host").help("correct `IsterCloudInitSvc`");
    for address in addresses {
        let routes = run(&Invocation::new("ip").args(["-json", "route", "get", &address.to_string()]));
        match routes.map(|routes| interface(&routes.stdout)) {
            Ok(Some(interface)) => return Ok(interface),
            Ok(None) => last = Failure::new(format!("`ip route get {address}` did not return an interface")),
            Err(failure) => last = failure.context(format!("no route to {address}")),
        }
    }
    Err(last)
}

/// Parses the output of `ip -json route get`. The interface of a local address is lo.
fn interface(routes: &[u8]) -> Option<String> {
    let routes: serde_json::Value = serde_json::from_slice(routes).ok()?;
    let name = routes.get(0)?.get("dev")?.as_str()?;
    // The name is used as part of a path.
    (!name.contains('/') && !name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_service_responses() {
        let name = |text: &str| role_name(text.as_bytes()).map_err(|failure| failure.details[0].clone());
        assert_eq!(name(r#"{"role": "web"}"#), Ok(Some("web".to_owned())));
        assert_eq!(name("{}"), Ok(None));
        assert_eq!(name(r#"{"role": ""}"#), Ok(None));
        assert_eq!(name(r#"{"role": 1}"#), Err("`role` is 1, expected a string".to_owned()));
        assert!(name("[]").is_err() && name("no").is_err());
    }

    #[test]
    fn parses_the_interface_of_a_route() {
        let routes = br#"[{"dst":"10.0.2.2","dev":"ens3","prefsrc":"10.0.2.15"}]"#;
        assert_eq!(interface(routes).as_deref(), Some("ens3"));
        assert_eq!(interface(b"[]"), None);
        assert_eq!(interface(br#"[{"dev":"../x"}]"#), None);
    }
}
