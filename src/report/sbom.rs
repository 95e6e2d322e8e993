//! The packages of an image, as a list and as SBOMs in SPDX 2.3 and CycloneDX 1.5.

mod cyclonedx;

pub use cyclonedx::cyclonedx;
use serde_json::{Value, json};
use std::fmt::Write;
use uuid::Uuid;

/// The image and its packages.
pub struct Contents<'a> {
    /// File name of the image.
    pub image: &'a str,
    /// GUID of the disk, from which the unique name of the document is derived.
    pub disk: Uuid,
    /// `ID` of os-release(5).
    pub distribution: &'a str,
    /// `VERSION_ID` of os-release(5), or `VERSION_CODENAME`, for example "12".
    pub version: &'a str,
    /// "deb", "rpm" or "swupd".
    pub kind: &'a str,
    pub packages: Vec<PackageLine<'a>>,
    /// Timestamp of the newest content, in seconds since 1970. The same content results in the same document.
    pub epoch: u64,
}

pub struct PackageLine<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub architecture: &'a str,
    /// Name and version of the source package.
    pub source: (&'a str, &'a str),
    pub maintainer: Option<&'a str>,
    pub homepage: Option<&'a str>,
    pub license: Option<&'a str>,
}

/// Renders one line per package: name, version, architecture, source package and its version, separated by tabs.
pub fn package_list(contents: &Contents) -> String {
    let mut out = "# name\tversion\tarchitecture\tsource\tsource version\n".to_owned();
    for package in &contents.packages {
        let PackageLine { name, version, architecture, source, .. } = package;
        let _ = writeln!(out, "{name}\t{version}\t{architecture}\t{}\t{}", source.0, source.1);
    }
    out
}

/// Renders SPDX 2.3 as JSON. Source: The Software Package Data Exchange Specification 2.3, clauses 6, 7 and 11; package
/// URLs: purl-spec, PURL-TYPES, "deb" and "rpm".
pub fn spdx(contents: &Contents) -> Value {
    let root = "SPDXRef-image";
    let mut packages = vec![json!({
        "SPDXID": root,
        "name": contents.image,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "primaryPackagePurpose": "OPERATING-SYSTEM",
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": root,
    })];
    for package in &contents.packages {
        // A package may be installed in several versions, as kernels of rpm distributions are.
        let parts = [package.name, package.version, package.architecture].map(identifier);
        let id = format!("SPDXRef-{}", parts.join("-"));
        packages.push(described(contents, package, &id));
        relationships.push(json!({
            "spdxElementId": root, "relationshipType": "CONTAINS", "relatedSpdxElement": id,
        }));
    }
    let created = timestamp(contents.epoch);
    // The same packages in the same image result in the same document.
    let name = format!("{}\n{}", contents.image, package_list(contents));
    let unique = Uuid::new_v5(&contents.disk, name.as_bytes());
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": contents.image,
        "documentNamespace": format!("https://spdx.org/spdxdocs/ister-{unique}"),
        "creationInfo": { "created": created, "creators": [concat!("Tool: ister-", env!("CARGO_PKG_VERSION"))] },
        "packages": packages,
        "relationships": relationships,
    })
}

fn described(contents: &Contents, package: &PackageLine, id: &str) -> Value {
    let mut described = json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "supplier": package.maintainer.map_or("NOASSERTION".to_owned(), supplier),
        "sourceInfo": format!("built from: {} {}", package.source.0, package.source.1),
    });
    if let Some(homepage) = package.homepage.filter(|url| url::Url::parse(url).is_ok()) {
        described["homepage"] = homepage.into();
    }
    if let Some(license) = package.license {
        // The license field of packages is seldom a valid SPDX expression, so it becomes a comment.
        described["licenseComments"] = format!("license field of the package: {license}").into();
    }
    if ["deb", "rpm"].contains(&contents.kind) {
        described["externalRefs"] = json!([{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl(contents, package),
        }]);
    }
    described
}

/// The supplier, always as an organization, because maintainer fields do not distinguish persons from teams.
fn supplier(text: &str) -> String {
    match text.split_once('<') {
        Some((name, address)) => {
            format!("Organization: {} ({})", name.trim(), address.trim_end_matches('>').trim())
        }
        None => format!("Organization: {}", text.trim()),
    }
}

/// A part of an SPDX identifier: letters, digits, `.` and `-`. Other characters are replaced by their code, so that
/// identifiers are unique.
fn identifier(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => out.push(c),
            other => {
                let _ = write!(out, ".x{:02x}.", u32::from(other));
            }
        }
    }
    out
}

/// The package URL. Scanners look up vulnerabilities by `distro`, which is ID and VERSION_ID of os-release(5), and by
/// the source package. The specification has no qualifier for the latter. Syft, Grype and Trivy use `upstream`: NAME or
/// NAME@VERSION for deb, the file name for rpm. Source: purl-spec, "deb" and "rpm".
fn purl(contents: &Contents, package: &PackageLine) -> String {
    let is_rpm = contents.kind == "rpm";
    let (version, epoch) = match package.version.split_once(':') {
        Some((epoch, version)) if is_rpm => (version, Some(epoch)),
        _ => (package.version, None),
    };
    // Without os-release the distribution is unknown.
    let namespace = match contents.distribution {
        "" => String::new(),
        name => format!("{}/", percent(name)),
    };
    let distribution = [contents.distribution, contents.version];
    let distribution: Vec<&str> = distribution.into_iter().filter(|part| !part.is_empty()).collect();
    let (source, source_version) = package.source;
    let upstream = match package.source {
        _ if is_rpm => Some(format!("{source}-{source_version}.src.rpm")),
        (name, version) if version != package.version => Some(format!("{name}@{version}")),
        (name, _) if name != package.name => Some(name.to_owned()),
        _ => None,
    };
    // The canonical form requires qualifiers to be sorted by name.
    let qualifiers = [
        ("arch", Some(package.architecture.to_owned())),
        ("distro", Some(distribution.join("-"))),
        ("epoch", epoch.map(str::to_owned)),
        ("upstream", upstream),
    ];
    let qualifiers: Vec<String> = qualifiers
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)))
        .map(|(key, value)| format!("{key}={}", percent(&value)))
        .collect();
    format!(
        "pkg:{}/{namespace}{}@{}?{}",
        contents.kind,
        percent(package.name),
        percent(version),
        qualifiers.join("&"),
    )
}

fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => out.push(char::from(byte)),
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

/// A timestamp such as `2026-07-11T09:15:42Z`, with the precision that SPDX requires.
fn timestamp(epoch: u64) -> String {
    // The format ends with the year 9999.
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(epoch.min(253_402_300_799));
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents<'static> {
        Contents {
            image: "kvm.img",
            disk: Uuid::nil(),
            distribution: "debian",
            version: "12",
            kind: "deb",
            packages: vec![PackageLine {
                name: "libstdc++6",
                version: "1:12.2.0-14",
                architecture: "amd64",
                source: ("gcc-12", "12.2.0-14"),
                maintainer: Some("Debian GCC Maintainers <gcc@example.org>"),
                homepage: Some("http://gcc.gnu.org/"),
                license: None,
            }],
            epoch: 1_747_473_342,
        }
    }

    #[test]
    fn spdx_document_matches_snapshot() {
        insta::with_settings!({ snapshot_path => "../../snapshots", prepend_module_to_snapshot => false }, {
            insta::assert_json_snapshot!("sbom", spdx(&contents()));
            insta::assert_json_snapshot!("sbom-cyclonedx", cyclonedx(&contents()));
        });
        assert!(package_list(&contents()).ends_with("libstdc++6\t1:12.2.0-14\tamd64\tgcc-12\t12.2.0-14\n"));
    }

    #[test]
    fn identifiers_are_unique() {
        assert_ne!(identifier("g++"), identifier("g"));
        assert_eq!(identifier("a_b"), "a.x5f.b");
    }

    #[test]
    fn package_urls_have_release_and_source() {
        let mut contents = contents();
        let url = |contents: &Contents| purl(contents, &contents.packages[0]);
        assert_eq!(
            url(&contents),
            "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14"
        );
        contents.packages[0].source.1 = "1:12.2.0-14";
        assert!(url(&contents).ends_with("&distro=debian-12&upstream=gcc-12"));
        contents.packages[0].source.0 = "libstdc++6";
        assert!(url(&contents).ends_with("?arch=amd64&distro=debian-12"));
        contents.distribution = "";
        contents.version = "";
        assert_eq!(url(&contents), "pkg:deb/libstdc%2B%2B6@1%3A12.2.0-14?arch=amd64");
    }

    #[test]
    fn rpm_epoch_is_a_qualifier() {
        let mut contents = contents();
        contents.kind = "rpm";
        contents.distribution = "almalinux";
        contents.version = "9.4";
        contents.packages[0].source = ("gcc", "11.4.1-3.el9");
        assert_eq!(
            purl(&contents, &contents.packages[0]),
            "pkg:rpm/almalinux/libstdc%2B%2B6@12.2.0-14?arch=amd64&distro=almalinux-9.4&epoch=1\
             &upstream=gcc-11.4.1-3.el9.src.rpm"
        );
    }
}
