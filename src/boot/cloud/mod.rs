//! Clouds without the cloud: what a guest finds on a virtual machine of a provider, and whether it used it. This module
//! is pure; [`super::lan`] transports requests and responses.
//!
//! A cloud is its SMBIOS strings, its metadata service or its medium, and the requests that an instance must make.

mod azure;
mod ec2;
mod gce;
mod judge;
mod openstack;

use super::lan::{GATEWAY, HttpService, LanOptions, Request, Response};
use clap::ValueEnum;
pub(super) use judge::{COMMANDS, judge, judge_without_login};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

/// A provider, or a way to pass settings without a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// Amazon EC2: metadata service with session tokens (IMDSv2).
    Ec2,
    /// Google Compute Engine: metadata server by name.
    Gce,
    /// Microsoft Azure: provisioning CD, metadata service and wire server.
    Azure,
    /// OpenStack: metadata service.
    Openstack,
    /// OpenStack: configuration drive.
    Configdrive,
    /// cloud-init's own medium.
    Nocloud,
}

impl Cloud {
    /// The name on the command line and in files.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A deliberate defect of the cloud: a boot with it must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CloudFault {
    /// The SMBIOS strings are those of no cloud.
    WrongSmbios,
    /// A public key is listed, but cannot be read.
    MissingKey,
    /// DHCP announces neither a router nor a name server.
    NoRoute,
    /// The name of the metadata service cannot be resolved.
    NoName,
    /// The user data is empty.
    NoUserData,
}

/// The settings of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// Random, so that no other instance could have reported it.
    pub id: String,
    pub host: String,
    /// The public key of the cloud's user, a line of authorized_keys.
    pub key: String,
    pub fault: Option<CloudFault>,
}

/// The metadata address of most clouds (RFC 3927, link-local).
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// A name that only the name server of this boot has.
pub(super) const PROBE_NAME: &str = "resolves.ister.test";
/// Hardware address of QEMU's first network card.
const MAC: &str = "52:54:00:12:34:56";

impl Instance {
    /// The user data: the instance reports its identity and its host keys when all of it was processed.
    fn user_data(&self) -> String {
        if self.fault == Some(CloudFault::NoUserData) {
            return String::new();
        }
        format!(
            "#cloud-config\nssh_genkeytypes: [ed25519]\nphone_home:\n  url: http://{GATEWAY}/phone-home/{}\n  \
             post: [pub_key_ed25519, instance_id, hostname]\n  tries: 5\n",
            self.id
        )
    }

    /// The UUID of EC2 begins with `ec2`. Source: Amazon EC2, "Identify EC2 instances".
    fn uuid(&self) -> String {
        format!("ec2{}-{}-4000-8000-{}", &self.id[..5], &self.id[5..9], &self.id[9..21])
    }
}

/// Files for a medium.
pub(super) struct Medium {
    pub label: &'static str,
    pub files: Vec<(&'static str, String)>,
    /// A CD, instead of a disk.
    pub is_cd: bool,
}

/// What a cloud gives an instance.
impl Cloud {
    /// Values of QEMU's `-smbios`. Source: cloud-init, tools/ds-identify and the data sources.
    pub(super) fn smbios(self, instance: &Instance) -> Vec<String> {
        if instance.fault == Some(CloudFault::WrongSmbios) {
            return vec!["type=1,manufacturer=Nobody,product=Nothing".to_owned()];
        }
        match self {
            Cloud::Ec2 => {
                let uuid = instance.uuid();
                vec![
                    "type=0,vendor=Amazon EC2".to_owned(),
                    format!("type=1,manufacturer=Amazon EC2,product=t3.micro,uuid={uuid},serial={uuid}"),
                ]
            }
            Cloud::Gce => vec![format!(
                "type=1,manufacturer=Google,product=Google Compute Engine,serial=GoogleCloud-{}",
                instance.id.to_uppercase()
            )],
            // The asset tag of every Azure machine.
            Cloud::Azure => vec![
                format!(
                    "type=1,manufacturer=Microsoft Corporation,product=Virtual Machine,uuid={}",
                    azure::uuid(instance)
                ),
                "type=3,manufacturer=Microsoft Corporation,asset=7783-7084-3265-9085-8269-3286-77".to_owned(),
            ],
            Cloud::Openstack => {
                vec!["type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova".to_owned()]
            }
            Cloud::Configdrive | Cloud::Nocloud => Vec::new(),
        }
    }

    pub(super) fn medium(self, instance: &Instance) -> Option<Medium> {
        let medium = |label, files| Some(Medium { label, files, is_cd: false });
        match self {
            Cloud::Nocloud => {
                let keys = format!("public-keys:\n  - {}\n", instance.key);
                let keys = if instance.fault == Some(CloudFault::MissingKey) { String::new() } else { keys };
                let meta = format!("instance-id: {}\nlocal-hostname: {}\n{keys}", instance.id, instance.host);
                medium("CIDATA", vec![("meta-data", meta), ("user-data", instance.user_data())])
            }
            Cloud::Configdrive => medium("config-2", openstack::files(instance)),
            Cloud::Azure => {
                let files = vec![("ovf-env.xml", azure::environment(instance))];
                Some(Medium { label: "rd_rdfe_stable.150101-0000", files, is_cd: true })
            }
            Cloud::Ec2 | Cloud::Gce | Cloud::Openstack => None,
        }
    }

    /// The MTU that DHCP announces. Sources: Amazon EC2, "Network MTU for your EC2 instance"; Google Cloud, "Maximum
    /// transmission unit".
    fn mtu(self) -> Option<u16> {
        match self {
            Cloud::Ec2 => Some(9001),
            Cloud::Gce => Some(1460),
            _ => None,
        }
    }

    pub(super) fn lan(self, instance: &Instance) -> LanOptions {
        let mut options = LanOptions {
            names: vec![(PROBE_NAME.to_owned(), GATEWAY)],
            is_closed: instance.fault == Some(CloudFault::NoRoute),
            mtu: self.mtu(),
            ..LanOptions::default()
        };
        match self {
            Cloud::Ec2 => {
                options.addresses.push(METADATA);
                // Source: Amazon EC2, "Instance metadata options": by default the response may travel one hop.
                options.hop_limit = Some(1);
            }
            Cloud::Gce => {
                options.addresses.push(METADATA);
                if instance.fault != Some(CloudFault::NoName) {
                    options.names.push(("metadata.google.internal".to_owned(), METADATA));
                }
            }
            Cloud::Azure => options.addresses.extend([METADATA, azure::WIRE_SERVER]),
            Cloud::Openstack => options.addresses.push(METADATA),
            Cloud::Configdrive | Cloud::Nocloud => {}
        }
        options
    }

    /// The response to a request to the address `to`.
    fn respond(self, instance: &Instance, to: Ipv4Addr, request: &Request) -> Response {
        match self {
            _ if to != METADATA && to != azure::WIRE_SERVER => Response::status(404),
            Cloud::Ec2 => ec2::respond(instance, request, true),
            Cloud::Gce => gce::respond(instance, request),
            Cloud::Azure => azure::respond(instance, to, request),
            Cloud::Openstack => openstack::respond(instance, request),
            Cloud::Configdrive | Cloud::Nocloud => Response::status(404),
        }
    }

    /// The prefix of cloud-init's name for the data source.
    fn data_source(self) -> &'static str {
        match self {
            Cloud::Ec2 => "DataSourceEc2",
            Cloud::Gce => "DataSourceGCE",
            Cloud::Azure => "DataSourceAzure",
            Cloud::Openstack => "DataSourceOpenStack",
            Cloud::Configdrive => "DataSourceConfigDrive",
            Cloud::Nocloud => "DataSourceNoCloud",
        }
    }

    /// The requests that an instance must have made: method and part of the path.
    fn required(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Cloud::Ec2 => &[
                ("PUT", "/latest/api/token"),
                ("GET", "/meta-data/instance-id"),
                ("GET", "/meta-data/public-keys/0/openssh-key"),
                ("GET", "/user-data"),
            ],
            Cloud::Gce => &[("GET", "/instance/id"), ("GET", "/instance/attributes")],
            Cloud::Azure => &[("GET", "/metadata/instance"), ("GET", "/machine"), ("POST", "/machine")],
            Cloud::Openstack => &[("GET", "/meta_data.json"), ("GET", "/user_data")],
            Cloud::Configdrive | Cloud::Nocloud => &[],
        }
    }
}

/// A request, as it is listed in the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CloudRequest {
    pub method: String,
    pub path: String,
    pub status: u16,
    pub count: u32,
}

/// What the instance reported at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PhoneHome {
    pub host: String,
    /// The public host key, as in known_hosts without the host.
    pub key: String,
}

/// What the instance asked for.
#[derive(Debug, Default)]
pub(super) struct CloudLog {
    pub requests: Vec<CloudRequest>,
    pub phone_home: Option<PhoneHome>,
}

/// Requests that are listed. A guest can make any number.
const MOST_REQUESTS: usize = 500;

/// The metadata service of an instance.
pub(super) struct Metadata {
    pub cloud: Cloud,
    pub instance: Instance,
    pub log: Arc<Mutex<CloudLog>>,
}

impl HttpService for Metadata {
    fn respond(&mut self, to: Ipv4Addr, request: &Request) -> Response {
        let is_home = to == GATEWAY
            && request.method == "POST"
            && request.path == format!("/phone-home/{}", self.instance.id);
        let response =
            if is_home { Response::text("") } else { self.cloud.respond(&self.instance, to, request) };
        let mut log = self.log.lock().expect("no holder panics");
        if is_home {
            log.phone_home = Some(phone_home(&request.body));
        }
        let same = |other: &&mut CloudRequest| {
            other.method == request.method && other.path == request.path && other.status == response.status
        };
        let has_room = log.requests.len() < MOST_REQUESTS;
        match log.requests.iter_mut().find(same) {
            Some(other) => other.count += 1,
            None if has_room => log.requests.push(CloudRequest {
                method: request.method.chars().take(20).collect(),
                path: request.path.chars().take(200).collect(),
                status: response.status,
                count: 1,
            }),
            None => {}
        }
        response
    }
}

/// The fields of a form. Source: WHATWG URL, application/x-www-form-urlencoded.
fn phone_home(body: &[u8]) -> PhoneHome {
    let text = String::from_utf8_lossy(body).into_owned();
    let fields: BTreeMap<&str, String> = text
        .split('&')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name, decoded(value)))
        .collect();
    let field = |name: &str| fields.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    PhoneHome { host: field("hostname"), key: field("pub_key_ed25519") }
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = escaped.filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], escaped) {
            (_, Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', None) => out.push(b' '),
            (byte, None) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A tree of values that is read by path. A directory lists its entries, with `/` after directories.
enum Tree {
    Value(String),
    Directory(Vec<(String, Tree)>),
}

impl Tree {
    fn directory<const N: usize>(entries: [(&str, Tree); N]) -> Tree {
        Tree::Directory(entries.into_iter().map(|(name, tree)| (name.to_owned(), tree)).collect())
    }

    fn at(&self, path: &str) -> Option<&Tree> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(self, |tree, name| match tree {
            Tree::Value(_) => None,
            Tree::Directory(entries) => entries.iter().find(|(other, _)| other == name).map(|(_, tree)| tree),
        })
    }

    fn text(&self) -> String {
        match self {
            Tree::Value(text) => text.clone(),
            Tree::Directory(entries) => {
                let name = |(name, tree): &(String, Tree)| match tree {
                    Tree::Value(_) => name.clone(),
                    Tree::Directory(_) => format!("{name}/"),
                };
                entries.iter().map(name).collect::<Vec<_>>().join("\n")
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Tree::Value(text) => text.as_str().into(),
            Tree::Directory(entries) => entries
                .iter()
                .map(|(name, tree)| (name.clone(), tree.json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

#[cfg(test)]
mod tests;
