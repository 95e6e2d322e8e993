//! Where apt content comes from: `-C URL`, or what the host's own apt uses.

use super::apt::Keyring;
use crate::host::{Context, Failure, Invocation, run};
use crate::plan::Content;
use std::io::Read;
use std::path::Path;

/// Source lines (sources.list(5)) for what is to be installed.
///
/// `Err` if no archive was named and the host has no Debian or Ubuntu archive of its own.
pub fn sources_for(content: &Content) -> Result<Vec<String>, Failure> {
    let mut sources = match &content.archive {
        Some(url) => vec![format!("deb {url} {} {}", content.release, content.components.join(" "))],
        None => of_host(&content.release, &content.components)?,
    };
    sources.extend(content.sources.iter().cloned());
    Ok(sources.iter().map(|source| of_its_time(&copied(source))).collect())
}

/// A snapshot's lists have expired since; others' must not have. Source: sources.list(5), "check-valid-until".
pub fn of_its_time(source: &str) -> String {
    match source.strip_prefix("deb ").filter(|_| is_snapshot(source)) {
        Some(rest) if rest.contains("check-valid-until=") => source.to_owned(),
        Some(rest) => match rest.strip_prefix('[') {
            Some(options) => format!("deb [check-valid-until=no {options}"),
            None => format!("deb [check-valid-until=no] {rest}"),
        },
        None => source.to_owned(),
    }
}

/// apt works from outside the tree and dpkg inside it: packages of this host's directories have to be copied, as those from a
/// network are.
fn copied(source: &str) -> String {
    source.replacen(" file:", " copy:", 1)
}

/// Whether an archive is pinned to a time, as a snapshot is: a directory such as `20250520T000000Z`. Its lists have
/// expired since.
fn is_snapshot(source: &str) -> bool {
    source.split(['/', ' ']).any(|part| {
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        part.strip_suffix('Z')
            .and_then(|part| part.split_once('T'))
            .is_some_and(|(day, time)| digits(day, 8) && digits(time, 6))
    })
}

/// What the content's signatures are checked with.
pub fn keyring(content: &Content) -> Result<Option<Keyring>, Failure> {
    let Some(path) = &content.keyring else { return Ok(None) };
    let data = std::fs::read(path).context(|| format!("could not read the keyring `{path}`"))?;
    let armoured = data.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----");
    // A key's packet has the highest bit set. Source: RFC 9580, 4.2.
    if !armoured && data.first().is_none_or(|byte| byte & 0x80 == 0) {
        return Err(Failure::new(format!("`{path}` is no OpenPGP keyring"))
            .help("name the file with the archive's public keys, as in /usr/share/keyrings"));
    }
    let stem = std::path::Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
    let stem: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    let name = if stem.is_empty() { "archive" } else { &stem };
    // apt tells the two forms by the ending.
    Ok(Some(Keyring { name: format!("{name}.{}", if armoured { "asc" } else { "gpg" }), data }))
}

/// The host's own archive, turned to a suite.
fn of_host(suite: &str, components: &[String]) -> Result<Vec<String>, Failure> {
    let no_source = || {
        Failure::new(format!("this host's apt knows no archive that could have the suite `{suite}`"))
            .help("name one: -C http://ARCHIVE/debian")
    };
    let format = "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(FILENAME)";
    // Without lists: with them apt reads all of them, which takes most of a second, and of all that only the origin is wanted.
    let invocation = Invocation::new("apt-get")
        .args(["-o", "Dir::State::Lists=/nonexistent", "indextargets", "--no-release-info"])
        .args(["--format", format, "Created-By: Packages"]);
    let targets = String::from_utf8_lossy(&run(&invocation)?.stdout).into_owned();
    let lists = run(&Invocation::new("apt-config").args(["shell", "LISTS", "Dir::State::lists/d"]))?;
    let lists = String::from_utf8_lossy(&lists.stdout).into_owned();
    let lists = lists.trim().trim_start_matches("LISTS=").trim_matches('\'').to_owned();
    let text = with_origins(&targets, |name| read_start(&Path::new(&lists).join(name)));
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let own = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .unwrap_or_default();
    let sources = pick(&text, &own, suite, components);
    if sources.is_empty() { Err(no_source()) } else { Ok(sources) }
}

/// Puts the archive's origin in the place of the index's file name, as its Release file has it; `release` gives the start
/// of a file of apt's lists. Not known (then apt's own mark stays) before the host's first `apt-get update`.
fn with_origins(targets: &str, release: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    for line in targets.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [uri, suite, component, file] = fields[..] else { continue };
        // HOST_PATH_dists_SUITE_COMPONENT_binary-ARCH_Packages; `/` is written `_`.
        let name = file.rsplit('/').next().unwrap_or_default();
        let archive =
            name.split(&format!("_{}_binary-", component.replace('/', "_"))).next().unwrap_or_default();
        let found = ["InRelease", "Release"].iter().find_map(|kind| release(&format!("{archive}_{kind}")));
        let origin = found.and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("Origin:").map(|origin| origin.trim().to_owned()))
        });
        out.push_str(&format!("{uri}\t{suite}\t{component}\t{}\n", origin.as_deref().unwrap_or("$(ORIGIN)")));
    }
    out
}

/// The first lines of a Release file, which say whose it is.
fn read_start(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    std::fs::File::open(path).ok()?.take(4096).read_to_end(&mut start).ok()?;
    Some(String::from_utf8_lossy(&start).into_owned())
}

/// Suites of Debian's archive that are named by their role, for hosts whose sources do not have their codename. Hosts
/// of sid have the codename of testing in /etc/os-release.
const ROLLING: &[&str] = &["oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"];

/// From apt's own list of index targets, those of the distribution itself, turned to another suite if need be:
/// on a bookworm host `bookworm-security` becomes `trixie-security` for a trixie image.
fn pick(targets: &str, own: &str, suite: &str, components: &[String]) -> Vec<String> {
    let named = if own.is_empty() { Vec::new() } else { pick_named(targets, &[own], suite, components) };
    if named.is_empty() { pick_named(targets, ROLLING, suite, components) } else { named }
}

/// From the targets whose suite has one of the names.
fn pick_named(targets: &str, names: &[&str], suite: &str, components: &[String]) -> Vec<String> {
    let mut sources = Vec::new();
    for line in targets.lines() {
        let mut fields = line.split('\t');
        let (Some(uri), Some(release), Some(component)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        // Not known (then apt leaves the variable as it is) before the host's first `apt-get update`.
        let origin = fields.next().unwrap_or_default();
        if !(matches!(origin, "Debian" | "Ubuntu") || origin.starts_with('$')) || component != "main" {
            continue;
        }
        let Some(pocket) = names.iter().find_map(|name| release.strip_prefix(name)) else { continue };
        if !matches!(pocket, "" | "-updates" | "-security") {
            continue;
        }
        // The rolling suites have no pockets.
        if !pocket.is_empty() && matches!(suite, "sid" | "unstable" | "experimental" | "testing") {
            continue;
        }
        let source = format!("deb {uri} {suite}{pocket} {}", components.join(" "));
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}

/// The host's own settings of how apt fetches: proxies, checks, certificates. They hold for building and are not
/// left in the image.
pub fn apt_options() -> Result<Vec<String>, Failure> {
    let dump = run(&Invocation::new("apt-config").args(["dump", "Acquire"]))?;
    let text = String::from_utf8_lossy(&dump.stdout).into_owned();
    Ok(text.lines().filter(|line| is_fetching(line)).map(str::to_owned).collect())
}

fn is_fetching(line: &str) -> bool {
    const KEPT: &[&str] = &[
        "Acquire::Check-Valid-Until ",
        "Acquire::Check-Date ",
        "Acquire::Retries ",
        "Acquire::ForceIPv4 ",
        "Acquire::ForceIPv6 ",
    ];
    let transport = ["Acquire::http", "Acquire::https"].iter().any(|t| line.starts_with(t));
    (transport || KEPT.iter().any(|key| line.starts_with(key))) && !line.ends_with(" \"\";")
}

/// dpkg's name of the host's architecture; images are built for it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "http://a/debian/\tbookworm\tmain\tDebian\n\
        http://a/debian/\tbookworm-updates\tmain\tDebian\n\
        http://a/debian/\tbookworm\tcontrib\tDebian\n\
        http://s/security/\tbookworm-security\tmain\t$(ORIGIN)\n\
        http://d/docker/\tbookworm\tmain\tDocker\n\
        http://p/pg/\tbookworm-pgdg\tmain\tapt.postgresql.org\n";

    #[test]
    fn only_the_distributions_own_archive_is_taken() {
        let main = ["main".to_owned()];
        assert_eq!(
            pick(TARGETS, "bookworm", "bookworm", &main),
            [
                "deb http://a/debian/ bookworm main",
                "deb http://a/debian/ bookworm-updates main",
                "deb http://s/security/ bookworm-security main",
            ]
        );
    }

    #[test]
    fn the_origin_stands_in_the_release_file() {
        let targets = "http://a/debian/\tbookworm\tmain\t/none/a_debian_dists_bookworm_main_binary-amd64_Packages\n\
            http://b/x/\tstable\tmain/y\t/none/b_x_dists_stable_main_y_binary-amd64_Packages\n\
            http://c/\tnew\tmain\t/none/c_dists_new_main_binary-amd64_Packages\n";
        let release = |name: &str| match name {
            "a_debian_dists_bookworm_InRelease" => Some("Hash: SHA256\n\nOrigin: Debian\n".to_owned()),
            "b_x_dists_stable_Release" => Some("Origin: Other\n".to_owned()),
            _ => None,
        };
        assert_eq!(
            with_origins(targets, release),
            "http://a/debian/\tbookworm\tmain\tDebian\nhttp://b/x/\tstable\tmain/y\tOther\nhttp://c/\tnew\tmain\t$(ORIGIN)\n"
        );
    }

    #[test]
    fn another_suite_comes_from_the_same_archive() {
        let two = ["main".to_owned(), "contrib".to_owned()];
        assert_eq!(
            pick(TARGETS, "bookworm", "trixie", &two)[2],
            "deb http://s/security/ trixie-security main contrib"
        );
        assert_eq!(pick(TARGETS, "bookworm", "sid", &two[..1]), ["deb http://a/debian/ sid main"]);
        assert!(pick(TARGETS, "", "sid", &two).is_empty());
        let sid = "http://a/debian/\tsid\tmain\tDebian\nhttp://a/debian/\texperimental\tmain\tDebian\n";
        assert_eq!(pick(sid, "forky", "bookworm", &two[..1]), ["deb http://a/debian/ bookworm main"]);
        let stable = "http://s/security\tstable-security\tmain\tDebian\n";
        assert_eq!(
            pick(stable, "trixie", "bookworm", &two[..1]),
            ["deb http://s/security bookworm-security main"]
        );
    }

    #[test]
    fn snapshots_are_known_by_their_time() {
        assert!(is_snapshot("deb http://s/archive/debian/20250520T000000Z bookworm main"));
        assert!(is_snapshot("deb http://s/archive/debian/20250520T000000Z/ bookworm main"));
        assert!(!is_snapshot("deb http://s/debian bookworm main"));
        assert_eq!(
            of_its_time("deb [trusted=yes] http://s/20250520T000000Z x main"),
            "deb [check-valid-until=no trusted=yes] http://s/20250520T000000Z x main"
        );
        assert_eq!(of_its_time("deb http://s/debian x main"), "deb http://s/debian x main");
    }

    #[test]
    fn directories_of_this_host_are_copied_from() {
        assert_eq!(copied("deb [trusted=yes] file:/srv/a x main"), "deb [trusted=yes] copy:/srv/a x main");
        assert_eq!(copied("deb http://h/file:x x main"), "deb http://h/file:x x main");
    }

    #[test]
    fn only_settings_of_fetching_are_kept() {
        assert!(is_fetching("Acquire::http::Proxy \"http://p:3128\";"));
        assert!(is_fetching("Acquire::Check-Valid-Until \"false\";"));
        assert!(!is_fetching("Acquire::http \"\";"));
        assert!(!is_fetching("Acquire::IndexTargets::deb::Packages::Optional \"0\";"));
    }
}
