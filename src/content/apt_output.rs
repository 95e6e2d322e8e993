//! Classifies error output of mmdebstrap, apt-get and dpkg. The samples in the tests were printed by apt 2.6 and 3.0.

use std::collections::BTreeSet;

/// Why the installation failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AptError {
    NoSpace,
    /// The archive cannot satisfy the request.
    Unmet(Unmet),
    /// The signature of the archive is missing or made with an unknown key.
    Untrusted,
    Unreachable,
    /// The archive lacks a package that is in its package lists. Contains the URL.
    MissingFile(String),
    /// The archive does not have the suite.
    NoSuite,
}

/// Messages of the apt methods for a host that does not respond.
const UNREACHABLE: &[&str] = &[
    "Could not connect",
    "Unable to connect",
    "Connection failed",
    "Connection refused",
    "Could not resolve",
    "Temporary failure resolving",
    "Connection timed out",
    "Network is unreachable",
    "Could not handshake",
];

/// Classifies the failure by the last output `lines`.
pub(super) fn fault(lines: &[&str]) -> Option<AptError> {
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    let missing = |line: &&str| {
        let url = line.split_once("E: Failed to fetch ")?.1.split_whitespace().next()?;
        (url.ends_with(".deb") && line.contains("404  Not Found")).then(|| url.to_owned())
    };
    if has("No space left on device") || has("You don't have enough free space") {
        Some(AptError::NoSpace)
    } else if let Some(unmet) = unmet(lines) {
        Some(AptError::Unmet(unmet))
    } else if has("NO_PUBKEY") || has("is not signed") || has("signatures were invalid") {
        Some(AptError::Untrusted)
    } else if UNREACHABLE.iter().any(|words| has(words)) {
        Some(AptError::Unreachable)
    } else if let Some(file) = lines.iter().find_map(missing) {
        Some(AptError::MissingFile(file))
    } else {
        (has("does not have a Release file") || has("404  Not Found")).then_some(AptError::NoSuite)
    }
}

/// Why packages cannot be installed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unmet {
    /// The package does not exist.
    Unknown { package: String },
    /// The package exists only in other versions.
    NoVersion { package: String, version: String },
    /// A virtual package that is provided by several packages.
    Virtual { package: String, providers: Vec<String> },
    /// Other packages refer to it, but the archive does not contain it. `replacements` may be empty.
    Unavailable { package: String, replacements: Vec<String> },
    /// The packages conflict with each other. Contains the lines of apt, "PACKAGE : Conflicts: …".
    Together { reasons: Vec<String> },
}

fn unmet(lines: &[&str]) -> Option<Unmet> {
    let after = |start: &str| lines.iter().find_map(|line| line.trim_start().strip_prefix(start));
    let quoted = |text: &str| text.split('\'').nth(1).map(str::to_owned);
    if let Some(rest) = after("E: Version ") {
        let version = quoted(rest)?;
        let package = quoted(rest.split_once(" for ")?.1)?;
        return Some(Unmet::NoVersion { package, version });
    }
    if let Some(rest) =
        after("E: Unable to locate package ").or_else(|| after("E: Couldn't find any package by glob "))
    {
        let package = rest.split_whitespace().next()?.trim_matches('\'').to_owned();
        return Some(Unmet::Unknown { package });
    }
    if let Some(rest) = after("E: Package ").filter(|rest| rest.contains("has no installation candidate")) {
        let package = quoted(rest)?;
        let providers = listed(lines, &format!("Package {package} is a virtual package provided by:"));
        if !providers.is_empty() {
            return Some(Unmet::Virtual { package, providers });
        }
        let replacements = listed(lines, "However the following packages replace it:");
        return Some(Unmet::Unavailable { package, replacements });
    }
    let start =
        lines.iter().position(|line| line.trim() == "The following packages have unmet dependencies:")?;
    let reasons = lines[start + 1..].iter().take_while(|line| line.starts_with(' ')).map(|line| line.trim());
    Some(Unmet::Together { reasons: reasons.map(str::to_owned).collect() })
}

/// Returns the first words of the indented lines after `heading`. They are sorted because apt prints them in the order
/// of its cache.
fn listed(lines: &[&str], heading: &str) -> Vec<String> {
    let start = lines.iter().position(|line| line.trim() == heading).map_or(lines.len(), |at| at + 1);
    let names = lines[start..].iter().take_while(|line| line.starts_with("  "));
    let names: BTreeSet<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Unmet> {
        unmet(&text.lines().collect::<Vec<_>>())
    }

    #[test]
    fn classifies_archive_failures() {
        let of = |line: &str| fault(&[line]);
        assert_eq!(of("dpkg: error: cannot copy: No space left on device"), Some(AptError::NoSpace));
        assert_eq!(
            of("W: GPG error: http://a x InRelease: The following signatures couldn't be verified because \
                the public key is not available: NO_PUBKEY 0E98404D386FA1D9"),
            Some(AptError::Untrusted)
        );
        assert_eq!(
            of("Err:1 http://a bookworm InRelease Could not connect to a:80"),
            Some(AptError::Unreachable)
        );
        assert_eq!(
            of("E: The repository 'http://a x Release' does not have a Release file."),
            Some(AptError::NoSuite)
        );
        let url = "http://a/pool/l/linux_5_amd64.deb";
        let line = format!("E: Failed to fetch {url}  404  Not Found [IP: 192.0.2.1 80]");
        assert_eq!(of(&line), Some(AptError::MissingFile(url.into())));
        assert_eq!(of("E: something else"), None);
    }

    #[test]
    fn parses_unknown_packages_and_versions() {
        assert_eq!(
            parse("Building dependency tree...\nE: Unable to locate package nano:i386\n"),
            Some(Unmet::Unknown { package: "nano:i386".into() })
        );
        let text = "Package nano is not available, but is referred to by another package.\n\
                    This may mean that the package is missing, has been obsoleted, or\n\
                    is only available from another source\n\nE: Version '9.9' for 'nano' was not found\n";
        assert_eq!(parse(text), Some(Unmet::NoVersion { package: "nano".into(), version: "9.9".into() }));
    }

    #[test]
    fn parses_virtual_and_replaced_packages() {
        let text = "Package awk is a virtual package provided by:\n  original-awk 2022-09-12-1\n  \
                    mawk 1.3.4.20200120-3.1\n  gawk 1:5.2.1-2\n\nE: Package 'awk' has no installation candidate\n";
        assert_eq!(
            parse(text),
            Some(Unmet::Virtual {
                package: "awk".into(),
                providers: ["gawk", "mawk", "original-awk"].map(str::to_owned).to_vec()
            })
        );
        let text = "Package libcurl3 is not available, but is referred to by another package.\n\
                    However the following packages replace it:\n  libcurl4t64\n\n\
                    E: Package 'libcurl3' has no installation candidate\n";
        assert_eq!(
            parse(text),
            Some(Unmet::Unavailable { package: "libcurl3".into(), replacements: vec!["libcurl4t64".into()] })
        );
    }

    #[test]
    fn parses_conflicting_packages() {
        let text = "The following packages have unmet dependencies:\n systemd-sysv : Conflicts: sysvinit-core but \
                    3.14-4 is to be installed\n sysvinit-core : Depends: initscripts but it is not installable\n                 \
                    Conflicts: systemd-sysv but 257.13-1~deb13u1 is to be installed\n\
                    E: Unable to correct problems, you have held broken packages.\n\
                    E: The following information from --solver 3.0 may provide additional context:\n";
        assert_eq!(
            parse(text),
            Some(Unmet::Together {
                reasons: [
                    "systemd-sysv : Conflicts: sysvinit-core but 3.14-4 is to be installed",
                    "sysvinit-core : Depends: initscripts but it is not installable",
                    "Conflicts: systemd-sysv but 257.13-1~deb13u1 is to be installed"
                ]
                .map(str::to_owned)
                .to_vec()
            })
        );
        assert_eq!(parse("E: Could not get lock /var/lib/dpkg/lock\n"), None);
    }
}
