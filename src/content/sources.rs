//! Sources of apt content: `-C URL`, or the sources configured for apt on the host.

use super::apt::Keyring;
use crate::host::{Context, Failure, Invocation, run};
use crate::plan::Content;
use std::io::Read;
use std::path::Path;

/// Returns the source lines (sources.list(5)) to install from.
///
/// Fails if no archive was specified and the host has no Debian or Ubuntu archive configured.
pub fn sources_for(content: &Content) -> Result<Vec<String>, Failure> {
    let mut sources = match &content.archive {
        Some(url) => vec![format!("deb {url} {} {}", content.release, content.components.join(" "))],
        None => host_sources(&content.release, &content.components)?,
    };
    sources.extend(content.sources.iter().cloned());
    Ok(sources.iter().map(|source| allow_expired_snapshot(&with_copy_method(source))).collect())
}

/// Adds `check-valid-until=no` to sources of a snapshot archive, whose package lists have expired. Other sources are
/// left unchanged. Source: sources.list(5), "check-valid-until".
pub fn allow_expired_snapshot(source: &str) -> String {
    match source.strip_prefix("deb ").filter(|_| is_snapshot(source)) {
        Some(rest) if rest.contains("check-valid-until=") => source.to_owned(),
        Some(rest) => match rest.strip_prefix('[') {
            Some(options) => format!("deb [check-valid-until=no {options}"),
            None => format!("deb [check-valid-until=no] {rest}"),
        },
        None => source.to_owned(),
    }
}

/// Replaces `file:` with `copy:`. apt runs outside the tree and dpkg inside it, so packages from a host directory must
/// be copied like packages from the network.
fn with_copy_method(source: &str) -> String {
    source.replacen(" file:", " copy:", 1)
}

/// Whether a source is a snapshot archive, recognized by a directory such as `20250520T000000Z` in its URL.
fn is_snapshot(source: &str) -> bool {
    source.split(['/', ' ']).any(|part| {
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        part.strip_suffix('Z')
            .and_then(|part| part.split_once('T'))
            .is_some_and(|(day, time)| digits(day, 8) && digits(time, 6))
    })
}

/// Reads the keyring that signatures of the content are verified with.
pub fn keyring(content: &Content) -> Result<Option<Keyring>, Failure> {
    let Some(path) = &content.keyring else { return Ok(None) };
    let data = std::fs::read(path).context(|| format!("could not read the keyring `{path}`"))?;
    let armoured = data.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----");
    // The first byte of an OpenPGP packet has its highest bit set. Source: RFC 9580, 4.2.
    if !armoured && data.first().is_none_or(|byte| byte & 0x80 == 0) {
        return Err(Failure::new(format!("`{path}` is not an OpenPGP keyring")).help(
            "specify a file that contains the archive's public keys, such as those in /usr/share/keyrings",
        ));
    }
    let stem = std::path::Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
    let stem: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    let name = if stem.is_empty() { "archive" } else { &stem };
    // apt distinguishes the two formats by the file name extension.
    Ok(Some(Keyring { name: format!("{name}.{}", if armoured { "asc" } else { "gpg" }), data }))
}

/// Returns the distribution archive configured on the host, for the given suite.
fn host_sources(suite: &str, components: &[String]) -> Result<Vec<String>, Failure> {
    let no_source = || {
        Failure::new(format!("no archive for the suite `{suite}` is configured in apt on this host"))
            .help("specify one with -C http://ARCHIVE/debian")
    };
    let format = "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(FILENAME)";
    // Run without package lists: reading them takes most of a second, and only the origin is needed.
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

/// Replaces the file name of each index with the origin of its archive, taken from the Release file. `release` returns
/// the start of a file from the apt lists directory. The origin is unknown until the first `apt-get update` on the
/// host; the placeholder of apt is then kept.
fn with_origins(targets: &str, release: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    for line in targets.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [uri, suite, component, file] = fields[..] else { continue };
        // The name is HOST_PATH_dists_SUITE_COMPONENT_binary-ARCH_Packages, where `_` replaces `/`.
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

/// Reads the first bytes of a Release file, which contain the origin.
fn read_start(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    std::fs::File::open(path).ok()?.take(4096).read_to_end(&mut start).ok()?;
    Some(String::from_utf8_lossy(&start).into_owned())
}

/// Suite aliases of the Debian archive, for hosts whose sources do not use the codename. On sid, /etc/os-release
/// contains the codename of testing.
const ROLLING: &[&str] = &["oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"];

/// Selects the index targets of the distribution itself and translates them to the requested suite: on a bookworm host,
/// `bookworm-security` becomes `trixie-security` for a trixie image.
fn pick(targets: &str, own: &str, suite: &str, components: &[String]) -> Vec<String> {
    let named = if own.is_empty() { Vec::new() } else { pick_named(targets, &[own], suite, components) };
    if named.is_empty() { pick_named(targets, ROLLING, suite, components) } else { named }
}

/// Like [`pick`], limited to targets whose suite starts with one of `names`.
fn pick_named(targets: &str, names: &[&str], suite: &str, components: &[String]) -> Vec<String> {
    let mut sources = Vec::new();
    for line in targets.lines() {
        let mut fields = line.split('\t');
        let (Some(uri), Some(release), Some(component)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        // The origin is unknown (apt then leaves the variable unexpanded) before the first `apt-get update` on the
        // host.
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

/// Returns the fetch settings of apt on the host: proxies, validity checks, certificates. They apply to the build and
/// are not copied to the image.
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

/// Returns the dpkg name of the host architecture, for which images are built.
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
    fn only_distribution_archives_are_selected() {
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
    fn origin_is_read_from_the_release_file() {
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
    fn other_suites_use_the_same_archive() {
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
    fn snapshots_are_recognized_by_their_timestamp() {
        assert!(is_snapshot("deb http://s/archive/debian/20250520T000000Z bookworm main"));
        assert!(is_snapshot("deb http://s/archive/debian/20250520T000000Z/ bookworm main"));
        assert!(!is_snapshot("deb http://s/debian bookworm main"));
        assert_eq!(
            allow_expired_snapshot("deb [trusted=yes] http://s/20250520T000000Z x main"),
            "deb [check-valid-until=no trusted=yes] http://s/20250520T000000Z x main"
        );
        assert_eq!(allow_expired_snapshot("deb http://s/debian x main"), "deb http://s/debian x main");
    }

    #[test]
    fn host_directories_use_the_copy_method() {
        assert_eq!(
            with_copy_method("deb [trusted=yes] file:/srv/a x main"),
            "deb [trusted=yes] copy:/srv/a x main"
        );
        assert_eq!(with_copy_method("deb http://h/file:x x main"), "deb http://h/file:x x main");
    }

    #[test]
    fn only_fetch_settings_are_kept() {
        assert!(is_fetching("Acquire::http::Proxy \"http://p:3128\";"));
        assert!(is_fetching("Acquire::Check-Valid-Until \"false\";"));
        assert!(!is_fetching("Acquire::http \"\";"));
        assert!(!is_fetching("Acquire::IndexTargets::deb::Packages::Optional \"0\";"));
    }
}
