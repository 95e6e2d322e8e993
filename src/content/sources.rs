//! Where apt content comes from: `-C URL`, or what the host's own apt uses.

use crate::tool::{Failure, Invocation, run};

/// Source lines (sources.list(5)) for a suite.
///
/// `Err` if no archive was named and the host has no Debian or Ubuntu archive of its own.
pub fn sources_for(suite: &str, archive: Option<&str>) -> Result<Vec<String>, Failure> {
    if let Some(url) = archive {
        return Ok(vec![format!("deb {url} {suite} main")]);
    }
    let no_source = || {
        Failure::new(format!("this host's apt knows no archive that could have the suite `{suite}`"))
            .help("name one: -C http://ARCHIVE/debian")
    };
    let format = "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)";
    let invocation =
        Invocation::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]);
    let text = String::from_utf8_lossy(&run(&invocation)?.stdout).into_owned();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let own = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .unwrap_or_default();
    let sources = pick(&text, &own, suite);
    if sources.is_empty() { Err(no_source()) } else { Ok(sources) }
}

/// From apt's own list of index targets, those of the distribution itself, turned to another suite if need be:
/// on a bookworm host `bookworm-security` becomes `trixie-security` for a trixie image.
fn pick(targets: &str, own: &str, suite: &str) -> Vec<String> {
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
        let Some(pocket) = release.strip_prefix(own).filter(|_| !own.is_empty()) else { continue };
        if !matches!(pocket, "" | "-updates" | "-security") {
            continue;
        }
        // The rolling suites have no pockets.
        if !pocket.is_empty() && matches!(suite, "sid" | "unstable" | "experimental" | "testing") {
            continue;
        }
        let source = format!("deb {uri} {suite}{pocket} {component}");
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
        assert_eq!(
            pick(TARGETS, "bookworm", "bookworm"),
            [
                "deb http://a/debian/ bookworm main",
                "deb http://a/debian/ bookworm-updates main",
                "deb http://s/security/ bookworm-security main",
            ]
        );
    }

    #[test]
    fn another_suite_comes_from_the_same_archive() {
        assert_eq!(pick(TARGETS, "bookworm", "trixie")[2], "deb http://s/security/ trixie-security main");
        assert_eq!(pick(TARGETS, "bookworm", "sid"), ["deb http://a/debian/ sid main"]);
        assert!(pick(TARGETS, "", "sid").is_empty());
    }

    #[test]
    fn only_settings_of_fetching_are_kept() {
        assert!(is_fetching("Acquire::http::Proxy \"http://p:3128\";"));
        assert!(is_fetching("Acquire::Check-Valid-Until \"false\";"));
        assert!(!is_fetching("Acquire::http \"\";"));
        assert!(!is_fetching("Acquire::IndexTargets::deb::Packages::Optional \"0\";"));
    }
}
