//! The metadata service of Amazon EC2. Source: Amazon EC2 User Guide, "Instance metadata and user data" and "Use
//! IMDSv2".

use super::super::lan::{GUEST, Request, Response};
use super::{CloudFault, Instance, MAC, Tree};
use serde_json::json;

/// The value of the session token. Its secrecy protects nothing here.
const TOKEN: &str = "AQAEAF-ister";
const REGION: &str = "eu-central-1";

/// Versions that instances may ask for.
const VERSIONS: [&str; 5] = ["1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23"];

fn metadata(instance: &Instance) -> Tree {
    let value = |text: &str| Tree::Value(text.to_owned());
    let address = || value(&GUEST.to_string());
    let card = Tree::directory([
        ("device-number", value("0")),
        ("interface-id", value("eni-0123456789abcdef0")),
        ("local-hostname", value(&instance.host)),
        ("local-ipv4s", address()),
        ("mac", value(MAC)),
        ("owner-id", value("123456789012")),
        ("subnet-id", value("subnet-0123456789abcdef0")),
        ("subnet-ipv4-cidr-block", value("10.0.2.0/24")),
        ("vpc-id", value("vpc-0123456789abcdef0")),
        ("vpc-ipv4-cidr-block", value("10.0.2.0/24")),
    ]);
    Tree::directory([
        ("ami-id", value("ami-0123456789abcdef0")),
        ("ami-launch-index", value("0")),
        (
            "block-device-mapping",
            Tree::directory([("ami", value("/dev/xvda")), ("root", value("/dev/xvda"))]),
        ),
        ("hostname", value(&instance.host)),
        ("instance-action", value("none")),
        ("instance-id", value(&format!("i-{}", &instance.id[..17]))),
        ("instance-type", value("t3.micro")),
        ("local-hostname", value(&instance.host)),
        ("local-ipv4", address()),
        ("mac", value(MAC)),
        (
            "network",
            Tree::directory([(
                "interfaces",
                Tree::directory([("macs", Tree::Directory(vec![(MAC.to_owned(), card)]))]),
            )]),
        ),
        (
            "placement",
            Tree::directory([("availability-zone", value(&format!("{REGION}a"))), ("region", value(REGION))]),
        ),
        ("profile", value("default-hvm")),
        ("public-keys", Tree::directory([("0", Tree::directory([("openssh-key", value(&instance.key))]))])),
        ("reservation-id", value("r-0123456789abcdef0")),
        ("security-groups", value("default")),
    ])
}

/// With `needs_token`, only sessions with a token are answered.
pub(super) fn respond(instance: &Instance, request: &Request, needs_token: bool) -> Response {
    if request.path == "/latest/api/token" {
        return match (request.method.as_str(), request.header("x-aws-ec2-metadata-token-ttl-seconds")) {
            ("PUT", Some(seconds)) => {
                Response::text(TOKEN).with("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", seconds)
            }
            ("PUT", None) => Response::status(400),
            _ => Response::status(405),
        };
    }
    if request.method != "GET" {
        return Response::status(405);
    }
    if needs_token && request.header("x-aws-ec2-metadata-token") != Some(TOKEN) {
        return Response::status(401);
    }
    let path = request.path.trim_start_matches('/');
    if path.is_empty() {
        return Response::text(VERSIONS.join("\n") + "\nlatest");
    }
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    if version != "latest" && !VERSIONS.contains(&version) {
        return Response::status(404);
    }
    let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match kind {
        "" => Response::text("dynamic\nmeta-data\nuser-data"),
        "user-data" => match instance.user_data() {
            text if text.is_empty() => Response::status(404),
            text => Response::text(text),
        },
        "meta-data" => {
            let is_key = rest.trim_end_matches('/').ends_with("openssh-key");
            // The entries of this directory have a form of their own.
            if rest.trim_matches('/') == "public-keys" {
                return Response::text("0=ister");
            }
            match metadata(instance).at(rest) {
                Some(_) if is_key && instance.fault == Some(CloudFault::MissingKey) => Response::status(404),
                Some(tree) => Response::text(tree.text()),
                None => Response::status(404),
            }
        }
        "dynamic" => match rest.trim_matches('/') {
            "" => Response::text("instance-identity/"),
            "instance-identity" => Response::text("document"),
            "instance-identity/document" => Response::json(&json!({
                "accountId": "123456789012", "architecture": "x86_64", "availabilityZone": format!("{REGION}a"),
                "imageId": "ami-0123456789abcdef0", "instanceId": format!("i-{}", &instance.id[..17]),
                "instanceType": "t3.micro", "privateIp": GUEST.to_string(), "region": REGION, "version": "2017-09-30",
            })),
            _ => Response::status(404),
        },
        _ => Response::status(404),
    }
}
