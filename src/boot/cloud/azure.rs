//! The provisioning CD, metadata service and wire server of Microsoft Azure. Sources: Azure Instance Metadata Service
//! documentation; "What is IP address 168.63.129.16?"; cloud-init, DataSourceAzure.

use super::super::lan::{GUEST, Request, Response};
use super::{CloudFault, Instance};
use serde_json::json;
use std::net::Ipv4Addr;

pub(super) const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// The instance ID of Azure is the UUID of the machine.
pub(super) fn uuid(instance: &Instance) -> String {
    let id = &instance.id;
    format!("{}-{}-4000-8000-{}", &id[..8], &id[8..12], &id[12..24])
}

/// `ovf-env.xml` of the provisioning CD.
pub(super) fn environment(instance: &Instance) -> String {
    let data = base64(&instance.user_data());
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Environment xmlns=\"http://schemas.dmtf.org/ovf/environment/1\" \
         xmlns:oe=\"http://schemas.dmtf.org/ovf/environment/1\" \
         xmlns:wa=\"http://schemas.microsoft.com/windowsazure\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n\
         <wa:ProvisioningSection><wa:Version>1.0</wa:Version>\
         <LinuxProvisioningConfigurationSet xmlns=\"http://schemas.microsoft.com/windowsazure\">\
         <ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType>\
         <HostName>{}</HostName><UserName>debian</UserName>\
         <DisableSshPasswordAuthentication>true</DisableSshPasswordAuthentication>\
         <CustomData>{data}</CustomData>\
         </LinuxProvisioningConfigurationSet></wa:ProvisioningSection>\n\
         <wa:PlatformSettingsSection><wa:Version>1.0</wa:Version>\
         <PlatformSettings xmlns=\"http://schemas.microsoft.com/windowsazure\">\
         <KmsServerHostname>kms.core.windows.net</KmsServerHostname>\
         <ProvisionGuestAgent>false</ProvisionGuestAgent><PreprovisionedVm>false</PreprovisionedVm>\
         </PlatformSettings></wa:PlatformSettingsSection></Environment>\n",
        instance.host
    )
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn metadata(instance: &Instance) -> serde_json::Value {
    let keys = match instance.fault {
        Some(CloudFault::MissingKey) => json!([]),
        _ => json!([{ "keyData": instance.key, "path": "/home/debian/.ssh/authorized_keys" }]),
    };
    json!({
        "compute": {
            "azEnvironment": "AzurePublicCloud", "location": "germanywestcentral", "name": instance.host,
            "osProfile": {
                "adminUsername": "debian", "computerName": instance.host, "disablePasswordAuthentication": "true",
            },
            "osType": "Linux", "provider": "Microsoft.Compute", "publicKeys": keys, "resourceGroupName": "ister",
            "subscriptionId": "00000000-0000-0000-0000-000000000000", "tags": "", "userData": "", "vmId": uuid(instance),
            "vmSize": "Standard_B1s", "zone": "1",
        },
        "network": { "interface": [{
            "ipv4": {
                "ipAddress": [{ "privateIpAddress": GUEST.to_string(), "publicIpAddress": "" }],
                "subnet": [{ "address": "10.0.2.0", "prefix": "24" }],
            },
            "ipv6": { "ipAddress": [] }, "macAddress": super::MAC.replace(':', "").to_uppercase(),
        }] },
    })
}

fn goal_state(instance: &Instance) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<GoalState><Version>2012-11-30</Version>\
         <Incarnation>1</Incarnation><Machine><ExpectedState>Started</ExpectedState></Machine>\
         <Container><ContainerId>{0}</ContainerId><RoleInstanceList><RoleInstance><InstanceId>{0}</InstanceId>\
         <State>Started</State><Configuration></Configuration></RoleInstance></RoleInstanceList></Container></GoalState>\n",
        uuid(instance)
    )
}

pub(super) fn respond(instance: &Instance, to: Ipv4Addr, request: &Request) -> Response {
    if to == WIRE_SERVER {
        let is = |name: &str| request.query.split('&').any(|pair| pair == format!("comp={name}"));
        return match request.method.as_str() {
            "GET" if is("versions") => Response::xml(
                "<?xml version=\"1.0\"?><Versions><Preferred><Version>2015-04-05</Version></Preferred>\
                 <Supported><Version>2015-04-05</Version><Version>2012-11-30</Version></Supported></Versions>"
                    .to_owned(),
            ),
            "GET" if is("goalstate") => Response::xml(goal_state(instance)),
            "POST" if is("health") => Response::text(""),
            "POST" if request.path == "/provisioning/health" => Response::status(200),
            _ => Response::status(404),
        };
    }
    if request.header("metadata").is_none_or(|value| !value.eq_ignore_ascii_case("true")) {
        return Response::status(400);
    }
    match request.path.trim_end_matches('/') {
        "/metadata/instance" => Response::json(&metadata(instance)),
        "/metadata/instance/network" => Response::json(&metadata(instance)["network"]),
        _ => Response::status(404),
    }
}
