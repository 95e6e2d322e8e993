//! The metadata service and the configuration drive of OpenStack. Source: OpenStack Nova, "Metadata service" and
//! "Config drives"; the EC2 compatible part needs no token.

use super::super::lan::{Request, Response};
use super::{CloudFault, Instance, ec2};
use serde_json::{Value, json};

fn metadata(instance: &Instance) -> Value {
    let keys = match instance.fault {
        Some(CloudFault::MissingKey) => json!({}),
        _ => json!({ "ister": instance.key }),
    };
    json!({
        "availability_zone": "nova", "hostname": instance.host, "launch_index": 0, "meta": {}, "name": instance.host,
        "project_id": "0123456789abcdef0123456789abcdef", "public_keys": keys, "uuid": instance.id,
    })
}

/// DHCP on the only card.
fn network() -> Value {
    json!({
        "links": [{ "id": "tap0", "type": "phy", "ethernet_mac_address": super::MAC, "mtu": 1500, "vif_id": "tap0" }],
        "networks": [{ "id": "network0", "link": "tap0", "type": "ipv4_dhcp", "network_id": "network0" }],
        "services": [],
    })
}

/// The files of a configuration drive.
pub(super) fn files(instance: &Instance) -> Vec<(&'static str, String)> {
    vec![
        ("openstack/latest/meta_data.json", metadata(instance).to_string()),
        ("openstack/latest/network_data.json", network().to_string()),
        ("openstack/latest/user_data", instance.user_data()),
    ]
}

pub(super) fn respond(instance: &Instance, request: &Request) -> Response {
    if request.method != "GET" {
        return Response::status(405);
    }
    match request.path.trim_matches('/') {
        "openstack" => Response::text("2012-08-10\n2018-08-27\nlatest"),
        path => {
            let words: Vec<&str> = path.split('/').collect();
            match words[..] {
                ["openstack", "latest" | "2012-08-10" | "2018-08-27", name] => match name {
                    "meta_data.json" => Response::json(&metadata(instance)),
                    "network_data.json" => Response::json(&network()),
                    "vendor_data.json" | "vendor_data2.json" => Response::json(&json!({})),
                    "user_data" => Response::text(instance.user_data()),
                    _ => Response::status(404),
                },
                ["openstack", _] => {
                    Response::text("meta_data.json\nnetwork_data.json\nuser_data\nvendor_data.json")
                }
                _ => ec2::respond(instance, request, false),
            }
        }
    }
}
