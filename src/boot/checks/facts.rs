//! The facts that the guest's script prints.

use super::super::session::Answer;
use super::definition::{Check, Kind, Type};
use super::matchers::Actual;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Default)]
pub(super) struct Facts {
    /// Values by check and attribute, still in base64.
    values: BTreeMap<usize, BTreeMap<String, Vec<String>>>,
    /// Checks with a value of which lines are missing.
    incomplete: BTreeSet<usize>,
}

impl Facts {
    pub(super) fn of(answers: &[Answer]) -> Facts {
        let mut facts = Facts::default();
        for line in answers.iter().flat_map(|answer| &answer.lines) {
            // On a console, other output may precede the mark in the same line.
            let Some((_, fact)) = line.split_once("ister-check: ") else { continue };
            let Some((index, fact)) = fact.split_once(' ') else { continue };
            let Ok(index) = index.parse() else { continue };
            let of_check = facts.values.entry(index).or_default();
            if let Some((name, data)) = fact.split_once("+ ") {
                let values = of_check.entry(name.to_owned()).or_default();
                if let Some(value) = values.last_mut() {
                    value.push_str(data.trim_end());
                }
            } else if let Some((name, length)) = fact.split_once("# ") {
                let value = of_check.get(name).and_then(|values| values.last());
                if value.map(String::len) != length.trim_end().parse().ok() {
                    facts.incomplete.insert(index);
                }
            } else if let Some(name) = fact.trim_end().strip_suffix('=') {
                of_check.entry(name.to_owned()).or_default().push(String::new());
            }
        }
        facts
    }

    /// Why the facts of a check cannot be used.
    pub(super) fn problem(&self, index: usize) -> Option<String> {
        let Some(of_check) = self.values.get(&index).filter(|of_check| of_check.contains_key("done")) else {
            return Some("the guest did not answer".to_owned());
        };
        if self.incomplete.contains(&index)
            || of_check.values().flatten().any(|value| STANDARD.decode(value).is_err())
        {
            return Some("the answer was mixed with other output of the console".to_owned());
        }
        self.text(index, "error")
    }

    fn all(&self, index: usize, name: &str) -> Vec<Vec<u8>> {
        let values = self.values.get(&index).and_then(|of_check| of_check.get(name)).into_iter().flatten();
        values.filter_map(|value| STANDARD.decode(value).ok()).collect()
    }

    pub(super) fn bytes(&self, index: usize, name: &str) -> Option<Vec<u8>> {
        self.all(index, name).pop()
    }

    pub(super) fn text(&self, index: usize, name: &str) -> Option<String> {
        self.bytes(index, name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn list(&self, index: usize, name: &str) -> Vec<String> {
        self.all(index, name).iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The value of an attribute.
    pub(super) fn value(&self, index: usize, check: &Check, name: &str) -> Option<Actual> {
        match check.kind {
            Kind::Port => {
                let addresses = listening(&self.text(index, "table")?);
                return Some(match name {
                    "listening" => Actual::Boolean(!addresses.is_empty()),
                    _ => Actual::List(addresses.iter().map(IpAddr::to_string).collect()),
                });
            }
            Kind::Mount => {
                let mount = Mount::of(&self.text(index, "table")?, &check.target);
                return mount_value(mount, &self.text(index, "df").unwrap_or_default(), name);
            }
            _ => {}
        }
        let text = self.text(index, name);
        match check.type_of(name) {
            Type::Boolean => text
                .filter(|text| text == "true" || text == "false")
                .map(|text| Actual::Boolean(text == "true")),
            Type::Number => text.and_then(|text| text.trim().parse().ok()).map(Actual::Number),
            Type::Text => text.map(|text| Actual::Text(spelled(name, &text))),
            Type::Lines => text.map(Actual::Lines),
            Type::List => Some(Actual::List(self.list(index, name))),
        }
    }
}

/// The spelling of goss.
fn spelled(name: &str, text: &str) -> String {
    match name {
        "mode" => format!("{text:0>4}"),
        "filetype" => match text {
            "regular file" | "regular empty file" => "file",
            "symbolic link" => "symlink",
            "fifo" => "pipe",
            "character special file" => "character-device",
            "block special file" => "block-device",
            other => other,
        }
        .to_owned(),
        _ => text.to_owned(),
    }
}

/// The local addresses of listening sockets. Source: Linux, Documentation/networking/proc_net_tcp.rst: the fields are
/// number, local address, remote address, and state, which is 0A for a listening TCP socket and 07 for UDP. Addresses
/// are 32-bit words in the byte order of the processor.
fn listening(table: &str) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, "0A" | "07", ..] = fields[..] else { return None };
            let (address, _) = local.split_once(':')?;
            let words = address.as_bytes().chunks(8).map(|word| {
                let word = std::str::from_utf8(word).ok()?;
                u32::from_str_radix(word, 16).ok().map(u32::to_le_bytes)
            });
            let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
            match <[u8; 16]>::try_from(bytes.as_slice()) {
                Ok(bytes) => Some(IpAddr::V6(Ipv6Addr::from(bytes))),
                Err(_) => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
            }
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A line of /proc/self/mountinfo.
struct Mount {
    options: Vec<String>,
    filesystem: String,
    source: String,
    super_options: Vec<String>,
}

impl Mount {
    /// The topmost mount at a path. Source: proc_pid_mountinfo(5).
    fn of(table: &str, path: &str) -> Option<Mount> {
        let split = |text: &str| text.split(',').map(str::to_owned).collect();
        table.lines().rev().find_map(|line| {
            let (first, second) = line.split_once(" - ")?;
            let fields: Vec<&str> = first.split(' ').collect();
            let [_, _, _, _, point, options, ..] = fields[..] else { return None };
            let [filesystem, source, super_options] = second.split(' ').collect::<Vec<_>>()[..] else {
                return None;
            };
            // A blank is written as an octal escape.
            (point.replace("\\040", " ") == path).then(|| Mount {
                options: split(options),
                filesystem: filesystem.to_owned(),
                source: source.to_owned(),
                super_options: split(super_options),
            })
        })
    }
}

fn mount_value(mount: Option<Mount>, df: &str, name: &str) -> Option<Actual> {
    if name == "exists" {
        return Some(Actual::Boolean(mount.is_some()));
    }
    let mount = mount?;
    match name {
        "opts" => Some(Actual::List(mount.options)),
        "vfs-opts" => Some(Actual::List(mount.super_options)),
        "source" => Some(Actual::Text(mount.source)),
        "filesystem" => Some(Actual::Text(mount.filesystem)),
        _ => {
            let percent = df.lines().last()?.split_whitespace().nth(4)?.strip_suffix('%')?;
            Some(Actual::Number(percent.parse().ok()?))
        }
    }
}
