//! Lists the packages installed in a tree, from the database of its package manager.

use super::dnf::DATABASES;
use super::tree::Tree;
use crate::host::{Context, Failure, Invocation, run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub architecture: String,
    /// Name and version of the source package.
    pub source: (String, String),
    /// Maintainer or vendor from the package metadata: a name and an address.
    pub maintainer: Option<String>,
    pub homepage: Option<String>,
    /// SPDX license expression or other text from the package metadata. Debian packages have no license field.
    pub license: Option<String>,
}

/// The installed packages of a tree and its distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// `ID` of os-release(5), such as "debian".
    pub distribution: String,
    /// `VERSION_ID`, or `VERSION_CODENAME` if it is missing: Debian unstable has no number.
    pub version: String,
    /// Package format: "deb" or "rpm".
    pub kind: String,
    /// Sorted.
    pub packages: Vec<Package>,
}

/// Returns the inventory of a tree, without packages if it has no supported package manager. `workspace` is a directory
/// for temporary files of rpm.
pub fn inventory(tree: &Tree, workspace: &Path) -> Result<Inventory, Failure> {
    let release = tree.read("/etc/os-release")?.unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    let (kind, mut packages) = if let Some(status) = tree.read_bytes("/var/lib/dpkg/status")? {
        // Maintainer names are not always valid UTF-8.
        ("deb", debian(&String::from_utf8_lossy(&status)))
    } else if let Some(database) = rpm_database(tree) {
        ("rpm", rpm(tree, database, workspace)?)
    } else {
        ("", Vec::new())
    };
    packages.sort();
    Ok(Inventory {
        distribution: field("ID").unwrap_or_default(),
        version: field("VERSION_ID").or_else(|| field("VERSION_CODENAME")).unwrap_or_default(),
        kind: kind.to_owned(),
        packages,
    })
}

/// Parses the dpkg status file. Source: dpkg, deb-control(5); `Source` contains a version in parentheses if it differs.
fn debian(status: &str) -> Vec<Package> {
    status
        .split("\n\n")
        .filter_map(|paragraph| {
            let field = |name: &str| {
                let value = paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                value.map(|value| value.trim().to_owned())
            };
            if !field("Status")?.ends_with(" installed") {
                return None;
            }
            let (name, version) = (field("Package")?, field("Version")?);
            let source = match field("Source") {
                None => (name.clone(), version.clone()),
                Some(source) => match source.split_once(" (") {
                    Some((source, other)) => (source.to_owned(), other.trim_end_matches(')').to_owned()),
                    None => (source, version.clone()),
                },
            };
            Some(Package {
                name,
                version,
                architecture: field("Architecture").unwrap_or_default(),
                source,
                maintainer: field("Maintainer"),
                homepage: field("Homepage"),
                license: None,
            })
        })
        .collect()
}

/// Returns the requested packages that are not installed according to the dpkg status file. Requests are `NAME`,
/// `NAME:ARCHITECTURE` or `NAME=VERSION`, as for apt-get(8). A virtual package counts as installed if an installed
/// package provides it.
fn missing_of_debian<'r>(status: &str, requested: &'r [String]) -> Vec<&'r str> {
    let installed = debian(status);
    let provided: BTreeSet<&str> = status
        .split("\n\n")
        .filter(|paragraph| {
            paragraph.lines().any(|line| line.starts_with("Status: ") && line.ends_with(" installed"))
        })
        .filter_map(|paragraph| paragraph.lines().find_map(|line| line.strip_prefix("Provides: ")))
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.split_whitespace().next())
        .collect();
    let is_there = |requested: &str| {
        let (name, version) = match requested.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (requested, None),
        };
        let (name, architecture) = match name.split_once(':') {
            Some((name, architecture)) if !["any", "native"].contains(&architecture) => {
                (name, Some(architecture))
            }
            Some((name, _)) => (name, None),
            None => (name, None),
        };
        version.is_none() && provided.contains(name)
            || installed.iter().any(|package| {
                package.name == name
                    && version.is_none_or(|version| package.version == version)
                    && architecture.is_none_or(|architecture| {
                        [architecture, "all"].contains(&package.architecture.as_str())
                    })
            })
    };
    requested.iter().map(String::as_str).filter(|name| !is_there(name)).collect()
}

/// Returns the requested packages that are not installed in the tree, independent of the exit status of the package
/// manager.
pub(super) fn missing(tree: &Tree, requested: &[String], workspace: &Path) -> Result<Vec<String>, Failure> {
    if let Some(status) = tree.read_bytes("/var/lib/dpkg/status")? {
        let status = String::from_utf8_lossy(&status);
        return Ok(missing_of_debian(&status, requested).into_iter().map(str::to_owned).collect());
    }
    let Some(database) = rpm_database(tree) else { return Ok(requested.to_vec()) };
    let copy = RpmCopy::new(tree, database, workspace)?;
    let is_there = |name: &str| {
        // By name, version and architecture, or by provided capability.
        run(&copy.rpm().args(["-q", "--", name])).is_ok()
            || run(&copy.rpm().args(["-q", "--whatprovides", "--", name])).is_ok()
    };
    Ok(requested.iter().filter(|name| !is_there(name)).cloned().collect())
}

fn rpm_database(tree: &Tree) -> Option<&'static str> {
    DATABASES.iter().find(|path| tree.exists(&format!("{path}/rpmdb.sqlite"))).copied()
}

/// A temporary copy of the RPM database: rpm modifies a database even when it only queries it.
struct RpmCopy(std::path::PathBuf);

impl RpmCopy {
    fn new(tree: &Tree, database: &str, workspace: &Path) -> Result<RpmCopy, Failure> {
        let copy = workspace.join("rpmdb");
        std::fs::create_dir(&copy).context(|| format!("could not create `{}`", copy.display()))?;
        for name in tree.list(database).iter().filter(|name| name.starts_with("rpmdb.sqlite")) {
            // Read through the tree: a link must not lead to the database of the host.
            let bytes = tree.read_bytes(&format!("{database}/{name}"))?.unwrap_or_default();
            let path = copy.join(name);
            std::fs::write(&path, bytes).context(|| format!("could not write `{}`", path.display()))?;
        }
        Ok(RpmCopy(copy))
    }

    fn rpm(&self) -> Invocation {
        Invocation::new("rpm").arg("--dbpath").arg(&self.0)
    }
}

impl Drop for RpmCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn rpm(tree: &Tree, database: &str, workspace: &Path) -> Result<Vec<Package>, Failure> {
    const FORMAT: &str =
        "%{NAME}\t%{EPOCH}\t%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SOURCERPM}\t%{VENDOR}\t%{URL}\t%{LICENSE}\n";
    let copy = RpmCopy::new(tree, database, workspace)?;
    let listed = run(&copy.rpm().args(["-qa", "--queryformat", FORMAT]))
        .map_err(|failure| failure.context("could not list the packages of the image"))?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().filter_map(rpm_line).collect())
}

fn rpm_line(line: &str) -> Option<Package> {
    let fields: Vec<&str> = line.split('\t').collect();
    let field =
        |index: usize| fields.get(index).copied().filter(|text| !text.is_empty() && *text != "(none)");
    // rpm stores public keys as packages named gpg-pubkey.
    let name = field(0).filter(|name| *name != "gpg-pubkey")?.to_owned();
    let version = match field(1) {
        Some(epoch) if epoch != "0" => format!("{epoch}:{}", field(2)?),
        _ => field(2)?.to_owned(),
    };
    // NAME-VERSION-RELEASE.src.rpm
    let source = field(4).and_then(|file| {
        let (rest, release) = file.strip_suffix(".src.rpm")?.rsplit_once('-')?;
        let (name, version) = rest.rsplit_once('-')?;
        Some((name.to_owned(), format!("{version}-{release}")))
    });
    Some(Package {
        source: source.unwrap_or_else(|| (name.clone(), version.clone())),
        name,
        version,
        architecture: field(3).unwrap_or_default().to_owned(),
        maintainer: field(5).map(str::to_owned),
        homepage: field(6).map(str::to_owned),
        license: field(7).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_installed_packages_and_their_sources_from_dpkg_status() {
        let packages = debian(
            "Package: a\nStatus: install ok installed\nVersion: 1:2-3\nArchitecture: amd64\nSource: b (2-1)\n\
             Maintainer: A <a@b>\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
             Package: c\nStatus: install ok installed\nVersion: 4\nArchitecture: all\nHomepage: https://c\n",
        );
        let named: Vec<_> =
            packages.iter().map(|p| (p.name.as_str(), p.version.as_str(), &p.source)).collect();
        assert_eq!(
            named,
            [
                ("a", "1:2-3", &("b".to_owned(), "2-1".to_owned())),
                ("c", "4", &("c".to_owned(), "4".to_owned()))
            ]
        );
        assert_eq!(packages[0].maintainer.as_deref(), Some("A <a@b>"));
        assert_eq!(packages[1].homepage.as_deref(), Some("https://c"));
    }

    #[test]
    fn finds_missing_requested_packages() {
        let status = "Package: nano\nStatus: install ok installed\nVersion: 7.2-1\nArchitecture: amd64\n\n\
                      Package: g++\nStatus: install ok installed\nVersion: 4:12.2.0-3\nArchitecture: amd64\n\
                      Provides: c++-compiler, c-and-c++ (= 1)\n\n\
                      Package: dash\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n\
                      Package: half\nStatus: install ok unpacked\nVersion: 1\nProvides: nothing\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: amd64\n";
        let requested = [
            "nano",
            "nano=7.2-1",
            "nano:amd64",
            "nano:any",
            "dash:amd64",
            "g++",
            "g++=4:12.2.0-3",
            "c++-compiler",
            "c-and-c++",
            "nano=7.3",
            "nano+",
            "nano-",
            "nano:i386",
            "half",
            "nothing",
            "gone",
            "c-and-c++=1",
        ]
        .map(str::to_owned);
        assert_eq!(
            missing_of_debian(status, &requested),
            ["nano=7.3", "nano+", "nano-", "nano:i386", "half", "nothing", "gone", "c-and-c++=1"]
        );
    }

    #[test]
    fn parses_a_line_of_rpm_output() {
        let package =
            rpm_line("bash\t0\t5.2-1.fc40\tx86_64\tbash-5.2-1.fc40.src.rpm\tF\t(none)\tGPLv3+").unwrap();
        assert_eq!((package.version.as_str(), package.source.1.as_str()), ("5.2-1.fc40", "5.2-1.fc40"));
        assert_eq!((package.homepage, package.license.as_deref()), (None, Some("GPLv3+")));
        assert_eq!(rpm_line("x\t2\t1-1\tnoarch\t(none)\t\t\t").unwrap().version, "2:1-1");
        assert_eq!(rpm_line("gpg-pubkey\t(none)\t1-1\t(none)\t(none)\t\t\t"), None);
    }
}
