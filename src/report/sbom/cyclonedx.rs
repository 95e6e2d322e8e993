//! An SBOM in CycloneDX 1.5 (ECMA-424 is 1.6, which fewer scanners read).

use super::{Contents, PackageLine, package_list, purl, timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

/// Renders CycloneDX as JSON. Source: CycloneDX 1.5, JSON Reference.
pub fn cyclonedx(contents: &Contents) -> Value {
    let mut components: Vec<Value> = Vec::new();
    // Scanners take the distribution from a component of this type.
    if !contents.distribution.is_empty() {
        components.push(json!({
            "type": "operating-system",
            "bom-ref": "distribution",
            "name": contents.distribution,
            "version": contents.version,
        }));
    }
    components.extend(contents.packages.iter().map(|package| component(contents, package)));
    let references: Vec<Value> = components.iter().map(|component| component["bom-ref"].clone()).collect();
    let unique = Uuid::new_v5(
        &contents.disk,
        format!("cyclonedx\n{}\n{}", contents.image, package_list(contents)).as_bytes(),
    );
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": format!("urn:uuid:{unique}"),
        "version": 1,
        "metadata": {
            "timestamp": timestamp(contents.epoch),
            "tools": { "components": [
                { "type": "application", "name": "ister", "version": env!("CARGO_PKG_VERSION") }
            ] },
            "component": { "type": "operating-system", "bom-ref": "image", "name": contents.image },
        },
        "components": components,
        "dependencies": [{ "ref": "image", "dependsOn": references }],
    })
}

fn component(contents: &Contents, package: &PackageLine) -> Value {
    let is_known = ["deb", "rpm"].contains(&contents.kind);
    let mut component = json!({ "type": "library", "name": package.name, "version": package.version });
    if is_known {
        let purl = purl(contents, package);
        component["bom-ref"] = purl.clone().into();
        component["purl"] = purl.into();
    } else {
        component["bom-ref"] = format!("{}@{}", package.name, package.version).into();
    }
    if let Some(maintainer) = package.maintainer {
        component["supplier"] = match maintainer.split_once('<') {
            Some((name, address)) => {
                json!({ "name": name.trim(), "contact": [{ "email": address.trim_end_matches('>').trim() }] })
            }
            None => json!({ "name": maintainer.trim() }),
        };
    }
    if let Some(license) = package.license {
        component["licenses"] = json!([{ "license": { "name": license } }]);
    }
    if let Some(homepage) = package.homepage.filter(|url| url::Url::parse(url).is_ok()) {
        component["externalReferences"] = json!([{ "type": "website", "url": homepage }]);
    }
    component
}
