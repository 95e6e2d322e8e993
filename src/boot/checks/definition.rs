//! Reads checks from YAML or JSON.

use super::http::Request;
use super::matchers::{self, Actual};
use super::{CheckOutcome, CheckResult, unknown};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Command,
    Dns,
    File,
    Group,
    Http,
    Interface,
    KernelParameter,
    Mount,
    Package,
    Port,
    Process,
    Service,
    User,
}

/// The type of an attribute's actual value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Boolean,
    Number,
    Text,
    List,
    /// Text whose lines are searched for patterns.
    Lines,
}

/// A kind, its name in files, the attribute that replaces the key, and the attributes that are compared.
struct Definition {
    kind: Kind,
    name: &'static str,
    target: &'static str,
    attributes: &'static [(&'static str, Type)],
}

use Type::{Boolean, Lines, List, Number, Text};

#[rustfmt::skip]
const KINDS: &[Definition] = &[
    Definition { kind: Kind::Command, name: "command", target: "exec", attributes: &[
        ("exit-status", Number), ("stdout", Lines), ("stderr", Lines),
    ] },
    Definition { kind: Kind::Dns, name: "dns", target: "resolve", attributes: &[
        ("resolvable", Boolean), ("addrs", List),
    ] },
    Definition { kind: Kind::File, name: "file", target: "path", attributes: &[
        ("exists", Boolean), ("mode", Text), ("size", Number), ("owner", Text), ("group", Text), ("filetype", Text),
        ("linked-to", Text), ("contents", Lines), ("md5", Text), ("sha256", Text), ("sha512", Text),
    ] },
    Definition { kind: Kind::Group, name: "group", target: "groupname", attributes: &[
        ("exists", Boolean), ("gid", Number),
    ] },
    Definition { kind: Kind::Http, name: "http", target: "url", attributes: &[
        ("status", Number), ("headers", Lines), ("body", Lines),
    ] },
    Definition { kind: Kind::Interface, name: "interface", target: "name", attributes: &[
        ("exists", Boolean), ("addrs", List), ("mtu", Number),
    ] },
    Definition { kind: Kind::KernelParameter, name: "kernel-param", target: "name", attributes: &[("value", Text)] },
    Definition { kind: Kind::Mount, name: "mount", target: "mountpoint", attributes: &[
        ("exists", Boolean), ("opts", List), ("vfs-opts", List), ("source", Text), ("filesystem", Text),
        ("usage", Number),
    ] },
    Definition { kind: Kind::Package, name: "package", target: "name", attributes: &[
        ("installed", Boolean), ("versions", List),
    ] },
    Definition { kind: Kind::Port, name: "port", target: "port", attributes: &[
        ("listening", Boolean), ("ip", List),
    ] },
    Definition { kind: Kind::Process, name: "process", target: "comm", attributes: &[("running", Boolean)] },
    Definition { kind: Kind::Service, name: "service", target: "name", attributes: &[
        ("enabled", Boolean), ("running", Boolean),
    ] },
    Definition { kind: Kind::User, name: "user", target: "username", attributes: &[
        ("exists", Boolean), ("uid", Number), ("gid", Number), ("groups", List), ("home", Text), ("shell", Text),
    ] },
];

/// Kinds and attributes of goss that are not supported, with the reason.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("addr", "the guest's network is isolated"),
    ("gossfile", "files are not included: give --checks several times"),
    ("matching", "it is about values of templates, which are not supported"),
];
const UNSUPPORTED_ATTRIBUTES: &[(Kind, &str, &str)] = &[
    (Kind::Dns, "server", "names are resolved as programs in the guest do"),
    (Kind::Service, "runlevels", "only `enabled` and `running` are known"),
    (Kind::Http, "proxy", "the request goes to the guest"),
    (Kind::Http, "ca-file", "only http is supported"),
    (Kind::Http, "cert-file", "only http is supported"),
    (Kind::Http, "key-file", "only http is supported"),
];

/// Attributes of every kind that are not compared.
const COMMON: [&str; 4] = ["skip", "timeout", "title", "meta"];
/// Attributes of a request.
const REQUEST: [&str; 7] = [
    "method",
    "request-headers",
    "request-body",
    "username",
    "password",
    "no-follow-redirects",
    "allow-insecure",
];

/// Default time limit in seconds. Emulated guests are slow.
const SECONDS: u64 = 60;

/// One check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Check {
    pub(super) kind: Kind,
    /// The key in the file.
    name: String,
    /// The path, command, user…
    pub(super) target: String,
    expected: Vec<(&'static str, Value)>,
    seconds: u64,
    pub(super) skip: bool,
    pub(super) request: Option<Request>,
}

/// All checks of a file, in its order.
pub(super) fn parse(text: &str) -> Result<Vec<Check>, String> {
    if text.contains("{{") && text.contains("}}") {
        return Err("templates are not supported: use the output of `goss render`".to_owned());
    }
    let document: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let kinds = object(&document, "the file")?;
    let mut checks = Vec::new();
    for (kind, entries) in kinds {
        if kind.starts_with("x-") || kind == "$schema" {
            continue;
        }
        if let Some((_, why)) = UNSUPPORTED.iter().find(|(name, _)| name == kind) {
            return Err(format!("checks of the kind `{kind}` are not supported: {why}"));
        }
        let known: Vec<&str> = KINDS.iter().map(|definition| definition.name).collect();
        let definition = KINDS.iter().find(|definition| definition.name == kind);
        let definition = definition.ok_or_else(|| unknown("kind of check", kind, &known))?;
        for (name, attributes) in object(entries, &format!("`{kind}`"))? {
            let context = format!("{kind}: {name}");
            let attributes = object(attributes, &format!("`{context}`"))?;
            checks.push(check(definition, name, attributes).map_err(|why| format!("{context}: {why}"))?);
        }
    }
    Ok(checks)
}

fn object<'v>(value: &'v Value, what: &str) -> Result<&'v Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what} is not a mapping"))
}

fn check(definition: &Definition, name: &str, attributes: &Map<String, Value>) -> Result<Check, String> {
    let mut expected = Vec::new();
    let mut target = name.to_owned();
    for (key, value) in attributes {
        // The name of `contents` before goss 0.4.
        let key = if key == "contains" { "contents" } else { key.as_str() };
        if key == definition.target {
            target = value.as_str().ok_or_else(|| format!("{key}: not a string"))?.to_owned();
        } else if let Some((name, _)) = definition.attributes.iter().find(|(name, _)| *name == key) {
            matchers::check(value).map_err(|why| format!("{key}: {why}"))?;
            expected.push((*name, value.clone()));
        } else if !(COMMON.contains(&key) || definition.kind == Kind::Http && REQUEST.contains(&key)) {
            let unsupported = UNSUPPORTED_ATTRIBUTES
                .iter()
                .find(|(kind, name, _)| *kind == definition.kind && *name == key);
            if let Some((_, _, why)) = unsupported {
                // Empty values have no effect in goss either.
                if value.as_str() == Some("") {
                    continue;
                }
                return Err(format!("{key}: not supported: {why}"));
            }
            let known: Vec<&str> = definition
                .attributes
                .iter()
                .map(|(name, _)| *name)
                .chain([definition.target])
                .chain(COMMON)
                .collect();
            return Err(unknown("attribute", key, &known));
        }
    }
    if definition.kind == Kind::Port && port(&target).is_none() {
        return Err(format!("invalid port `{target}`; expected tcp:22, tcp6:22, udp:68 or udp6:546"));
    }
    let skip = flag(attributes, "skip")?;
    let is_vacuous = |(_, value): &(&str, Value)| value.as_array().is_some_and(Vec::is_empty);
    if expected.iter().all(is_vacuous) && !skip {
        return Err("it has no expected value, so that it would always pass".to_owned());
    }
    let seconds = match attributes.get("timeout") {
        None => SECONDS,
        // In milliseconds.
        Some(value) => value.as_u64().ok_or("timeout: not a number of milliseconds")?.div_ceil(1000).max(1),
    };
    let request = match definition.kind {
        Kind::Http => Some(Request::new(&target, attributes, seconds)?),
        _ => None,
    };
    Ok(Check { kind: definition.kind, name: name.to_owned(), target, expected, seconds, skip, request })
}

pub(super) fn flag(attributes: &Map<String, Value>, name: &str) -> Result<bool, String> {
    match attributes.get(name) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| format!("{name}: not `true` or `false`")),
    }
}

/// The file in /proc/net and the port of `tcp:22`. Without a protocol it is TCP.
fn port(text: &str) -> Option<(&str, u16)> {
    let (protocol, port) = text.split_once(':').unwrap_or(("tcp", text));
    ["tcp", "tcp6", "udp", "udp6"].contains(&protocol).then_some(())?;
    Some((protocol, port.parse().ok()?))
}

impl Check {
    fn definition(&self) -> &'static Definition {
        KINDS.iter().find(|definition| definition.kind == self.kind).expect("every kind is defined")
    }

    pub(super) fn type_of(&self, name: &str) -> Type {
        let attributes = self.definition().attributes;
        attributes.iter().find(|(other, _)| *other == name).map_or(Text, |(_, kind)| *kind)
    }

    /// The command that prints the facts for this check.
    pub(super) fn call(&self, index: usize) -> Option<String> {
        // A terminal takes 4096 bytes in a line, and other shells less. A backslash continues a word.
        let encoded = STANDARD.encode(&self.target);
        let lines = encoded.as_bytes().chunks(500).map(String::from_utf8_lossy);
        let target = lines.collect::<Vec<_>>().join("\\\n");
        let target = if target.is_empty() { "''".to_owned() } else { target };
        let call = match self.kind {
            Kind::Http => return None,
            Kind::File => {
                let wanted: Vec<&str> = self.expected.iter().map(|(name, _)| *name).collect();
                format!("check_file {index} {target} '{}'", wanted.join(" "))
            }
            Kind::Port => {
                let (protocol, port) = port(&self.target)?;
                format!("check_port {index} {protocol} {port:04X}")
            }
            Kind::Command => format!("check_command {index} {target} {}", self.seconds),
            Kind::Dns => format!("check_dns {index} {target} {}", self.seconds),
            _ => format!(
                "check_{} {index} {target}",
                self.definition().name.replace("kernel-param", "kernel_param")
            ),
        };
        Some(call)
    }

    /// The attributes that differ, one sentence each.
    pub(super) fn differences(&self, actual: impl Fn(&str) -> Option<Actual>) -> Vec<String> {
        let different = |(name, expected): &(&'static str, Value)| {
            let found = actual(name);
            let matches = matchers::matches(expected, found.as_ref());
            (!matches).then(|| match found {
                Some(found) => format!("{name}: expected {expected}, found {found}"),
                None => format!("{name}: expected {expected}, but there is none"),
            })
        };
        self.expected.iter().filter_map(different).collect()
    }

    pub(super) fn result(&self, outcome: CheckOutcome, problems: Vec<String>) -> CheckResult {
        CheckResult { check: format!("{} {}", self.definition().name, self.name), outcome, problems }
    }
}
