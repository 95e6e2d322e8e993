//! The metadata server of Google Compute Engine. Source: Compute Engine, "About VM metadata" and "Set and query guest
//! attributes".

use super::super::lan::{GUEST, Request, Response};
use super::{CloudFault, Instance, MAC, Tree};

const ROOT: &str = "/computeMetadata/v1";
const PROJECT: &str = "ister";

/// A number, as Google's instance IDs are.
fn number(instance: &Instance) -> String {
    let digits: String = instance.id.chars().filter(char::is_ascii_digit).take(18).collect();
    format!("1{digits:0>18}")
}

fn metadata(instance: &Instance) -> Tree {
    let value = |text: &str| Tree::Value(text.to_owned());
    let mut attributes = vec![("user-data".to_owned(), value(&instance.user_data()))];
    if instance.fault != Some(CloudFault::MissingKey) {
        let line = format!("debian:{}", instance.key);
        attributes.push(("ssh-keys".to_owned(), value(&line)));
    }
    let card = Tree::directory([
        ("dns-servers", value("169.254.169.254")),
        ("gateway", value("10.0.2.2")),
        ("ip", value(&GUEST.to_string())),
        ("mac", value(MAC)),
        ("mtu", value("1460")),
        ("subnetmask", value("255.255.255.0")),
    ]);
    Tree::directory([
        (
            "instance",
            Tree::directory([
                ("attributes", Tree::Directory(attributes)),
                ("hostname", value(&format!("{}.c.{PROJECT}.internal", instance.host))),
                ("id", value(&number(instance))),
                ("machine-type", value(&format!("projects/1/machineTypes/{PROJECT}"))),
                ("name", value(&instance.host)),
                ("network-interfaces", Tree::directory([("0", card)])),
                ("zone", value("projects/1/zones/europe-west3-a")),
            ]),
        ),
        (
            "project",
            Tree::directory([
                ("attributes", Tree::directory([("enable-oslogin", value("FALSE"))])),
                ("numeric-project-id", value("1")),
                ("project-id", value(PROJECT)),
            ]),
        ),
    ])
}

pub(super) fn respond(instance: &Instance, request: &Request) -> Response {
    let flavor = |response: Response| {
        response.with("Metadata-Flavor", "Google").with("Server", "Metadata Server for VM")
    };
    if request.path == "/" && request.method == "GET" {
        return flavor(Response::text("computeMetadata/\n"));
    }
    if request.header("metadata-flavor") != Some("Google") {
        return flavor(Response::status(403));
    }
    let Some(path) = request.path.strip_prefix(ROOT) else { return flavor(Response::status(404)) };
    if path.starts_with("/instance/guest-attributes/") {
        // The instance publishes its host keys here.
        return flavor(Response::status(if request.method == "PUT" { 200 } else { 404 }));
    }
    if request.method != "GET" {
        return flavor(Response::status(405));
    }
    let query = request.query.to_lowercase();
    let is_set = |name: &str, value: &str| query.split('&').any(|pair| pair == format!("{name}={value}"));
    flavor(match metadata(instance).at(path) {
        None => Response::status(404),
        Some(tree) if is_set("recursive", "true") && !is_set("alt", "text") => Response::json(&tree.json()),
        Some(tree) if is_set("alt", "json") => Response::json(&tree.json()),
        Some(tree) => Response::text(tree.text()),
    })
}
