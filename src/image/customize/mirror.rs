//! `MirrorURL`: the package source of the installed system.
//!
//! The plan contains swupd's files. This module handles the package managers whose source files depend on the
//! content.

use crate::content::{RPM_KEYS as KEYS, Tree, allow_expired_snapshot};
use crate::host::Failure;
use crate::plan::Content;
use crate::template::SoftwareManager;

const APT: &str = "/etc/apt/sources.list";
const DNF: &str = "/etc/yum.repos.d/ister.repo";

/// Replaces the URL of the main archive by `mirror`. Other archives (security updates, additional sources) stay.
pub fn set_mirror(tree: &Tree, content: &Content, mirror: &str) -> Result<(), Failure> {
    match content.manager {
        SoftwareManager::Apt => {
            let before = tree.read(APT)?.unwrap_or_default();
            let key = kept_key(tree, content, "/etc/apt/keyrings");
            tree.write(APT, &apt_sources(&before, content, mirror, key.as_deref()), 0o644)
        }
        SoftwareManager::Dnf => {
            let key = kept_key(tree, content, KEYS);
            tree.write(DNF, &dnf_repository(mirror, key.as_deref()), 0o644)
        }
        SoftwareManager::Swupd => Ok(()),
    }
}

/// Returns the path in the tree of the keyring that verified its content.
fn kept_key(tree: &Tree, content: &Content, directory: &str) -> Option<String> {
    let stem = std::path::Path::new(content.keyring.as_ref()?).file_stem()?.to_string_lossy().into_owned();
    let name = tree.list(directory).into_iter().find(|name| name.starts_with(&stem))?;
    Some(format!("{directory}/{name}"))
}

/// Replaces the URL of the first source, which is the main archive, in all lines. Without a source, because the
/// content came from a directory of the build host, the mirror becomes the only one.
fn apt_sources(before: &str, content: &Content, mirror: &str, key: Option<&str>) -> String {
    let own = before.lines().find_map(|line| place(line).map(|at| line[at].to_owned()));
    let Some(own) = own else {
        let key = key.map(|path| format!("[signed-by={path}] ")).unwrap_or_default();
        let line = format!("deb {key}{mirror} {} {}", content.release, content.components.join(" "));
        return allow_expired_snapshot(&line) + "\n";
    };
    let mut after = String::new();
    for line in before.lines() {
        match place(line).filter(|at| line[at.clone()].trim_end_matches('/') == own.trim_end_matches('/')) {
            Some(at) => {
                let moved = format!("{}{mirror}{}", &line[..at.start], &line[at.end..]);
                after.push_str(&format!("{}\n", allow_expired_snapshot(&without_expiry(&moved))));
            }
            None => after.push_str(&format!("{line}\n")),
        }
    }
    after
}

/// Removes `check-valid-until`: the build may have used a snapshot, while the mirror is current.
fn without_expiry(line: &str) -> String {
    let Some((before, rest)) = line.split_once('[') else { return line.to_owned() };
    let Some((options, after)) = rest.split_once(']') else { return line.to_owned() };
    let kept: Vec<&str> =
        options.split_whitespace().filter(|option| !option.starts_with("check-valid-until=")).collect();
    match kept.as_slice() {
        [] => format!("{before}{}", after.trim_start()),
        kept => format!("{before}[{}]{after}", kept.join(" ")),
    }
}

/// Returns the range of the URL in a one-line source.
fn place(line: &str) -> Option<std::ops::Range<usize>> {
    let rest = line.strip_prefix("deb ")?;
    let after_options = match rest.trim_start().strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let url = after_options.split_whitespace().next()?;
    let start = line.len() - after_options.len() + after_options.find(url)?;
    Some(start..start + url.len())
}

/// Creates a repository file. dnf expands variables such as `$releasever`. Source: dnf.conf(5), "REPO OPTIONS".
fn dnf_repository(mirror: &str, key: Option<&str>) -> String {
    let checks = key.map(|path| format!("gpgcheck=1\ngpgkey=file://{path}\n")).unwrap_or_default();
    format!("# Written by ister.\n[ister]\nname=MirrorURL\nbaseurl={mirror}\nenabled=1\n{checks}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            manager: SoftwareManager::Apt,
            release: "bookworm".into(),
            archive: None,
            components: vec!["main".into(), "contrib".into()],
            sources: Vec::new(),
            keyring: None,
            configuration: None,
            swupd: None,
            bundles: Vec::new(),
            packages: Vec::new(),
        }
    }

    #[test]
    fn the_main_archive_is_replaced_in_place() {
        let before = "deb http://a/debian bookworm main\n# note\ndeb [signed-by=/k] http://a/debian/ bookworm-updates main\n\
                      deb http://s/security bookworm-security main\n";
        assert_eq!(
            apt_sources(before, &content(), "https://m/debian", Some("/k")),
            "deb https://m/debian bookworm main\n# note\n\
             deb [signed-by=/k] https://m/debian bookworm-updates main\n\
             deb http://s/security bookworm-security main\n"
        );
        assert_eq!(apt_sources("", &content(), "https://m", None), "deb https://m bookworm main contrib\n");
        assert_eq!(
            apt_sources("", &content(), "https://m", Some("/k")),
            "deb [signed-by=/k] https://m bookworm main contrib\n"
        );
        // `check-valid-until` depends on the URL of the mirror.
        let snapshot = "https://s/debian/20250520T000000Z";
        assert_eq!(
            apt_sources(before, &content(), snapshot, Some("/k")),
            format!(
                "deb [check-valid-until=no] {snapshot} bookworm main\n# note\n\
                 deb [check-valid-until=no signed-by=/k] {snapshot} bookworm-updates main\n\
                 deb http://s/security bookworm-security main\n"
            )
        );
        let old = "deb [check-valid-until=no] http://h/20250520T000000Z bookworm main\n\
                   deb [signed-by=/k check-valid-until=no] http://h/20250520T000000Z bookworm-updates main\n";
        assert_eq!(
            apt_sources(old, &content(), "https://m/debian", None),
            "deb https://m/debian bookworm main\ndeb [signed-by=/k] https://m/debian bookworm-updates main\n"
        );
        assert_eq!(
            apt_sources("", &content(), snapshot, None),
            format!("deb [check-valid-until=no] {snapshot} bookworm main contrib\n")
        );
        assert!(dnf_repository("https://m", Some("/k")).ends_with("gpgcheck=1\ngpgkey=file:///k\n"));
    }
}
