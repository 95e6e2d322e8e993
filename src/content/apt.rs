//! Debian and Ubuntu content through mmdebstrap, inside the build's namespace.

use super::prepare;
use super::tree::Tree;
use super::{Metadata, Wanted, architecture, pack};
use crate::tool::{Context, Failure, Invocation, Progress, run_reporting};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;

/// Raised whenever the same packages would give another tree.
const RECIPE: u32 = 3;

/// What a tree is made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContentRequest {
    pub suite: String,
    /// sources.list(5) lines.
    pub sources: Vec<String>,
    pub packages: Vec<String>,
    /// `SOURCE_DATE_EPOCH`, if the user set it; else the archive's own date counts.
    pub epoch: Option<u64>,
    /// How the host's apt fetches; not part of what the tree is.
    pub apt_options: Vec<String>,
}

impl ContentRequest {
    /// The cache key: the same for everything that gives the same tree.
    pub fn key(&self) -> String {
        let parts = (RECIPE, architecture(), &self.suite, &self.sources, &self.packages, self.epoch);
        let text = serde_json::to_string(&parts).expect("a request is plain data");
        blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
    }

    pub fn title(&self) -> String {
        format!("apt {}", self.suite)
    }
}

/// The command that fills `target`. The initramfs is made once, afterwards; nothing is synced to disk, since a
/// tree that a crash interrupts is made again anyway.
///
/// Options of apt come in a file: a proxy's password must not stand in an argument list.
fn mmdebstrap(request: &ContentRequest, target: &Path, apt_options: &Path) -> Invocation {
    Invocation::new("mmdebstrap")
        .args(["--mode=root", "--variant=minbase", "--format=directory"])
        .args(["--skip=check/empty", "--skip=cleanup/apt/lists"])
        .args(["--dpkgopt=force-unsafe-io", "--aptopt=Acquire::Languages \"none\""])
        .arg(format!("--aptopt={}", apt_options.display()))
        .arg(format!("--include={}", request.packages.join(",")))
        .arg(&request.suite)
        .arg(target)
        .args(&request.sources)
        .env("INITRD", "No")
        .env("TMPDIR", target.parent().unwrap_or(Path::new("/tmp")))
}

/// Fills a tree, makes it ready for any image, and packs it into `out`.
pub fn fill(
    request: &ContentRequest,
    workspace: &Path,
    out: &File,
    progress: &dyn Progress,
) -> Result<Metadata, Failure> {
    let target = workspace.join("tree");
    let apt_options = workspace.join("apt.conf");
    std::fs::write(&apt_options, request.apt_options.join("\n") + "\n")
        .context(|| format!("could not write `{}`", apt_options.display()))?;
    prepare::lay_ground(&target, &request.packages)?;
    let command = mmdebstrap(request, &target, &apt_options);
    let finished = run_reporting(&command, &mut |line| {
        if let Some(step) = line.strip_prefix("I: ").and_then(step) {
            progress.begin(step);
        }
    });
    if let Err(failure) = finished {
        return Err(explain(failure, request));
    }
    let tree = Tree::open(&target)?;
    let epoch = match request.epoch {
        Some(epoch) => epoch,
        None => prepare::archive_epoch(&tree).unwrap_or_else(now),
    };
    prepare::prepare(&tree, epoch, progress)?;
    progress.begin("keeping the content in the cache");
    let (size, hash) = pack(&target, epoch, out)?;
    let packages = prepare::packages(&tree)?;
    Ok(Metadata {
        title: format!("{}, {} packages", request.title(), packages.len()),
        created: now(),
        size,
        hash,
        epoch,
        packages,
        wanted: Wanted {
            suite: request.suite.clone(),
            packages: request.packages.clone(),
            sources: request.sources.clone(),
        },
    })
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// mmdebstrap's own words, where they tell a user what takes time.
fn step(line: &str) -> Option<&'static str> {
    Some(match line.trim_end_matches("...") {
        "running apt-get update" => "fetching package lists",
        "downloading packages with apt" => "downloading packages",
        "extracting archives" => "unpacking essential packages",
        "installing essential packages" => "configuring essential packages",
        "installing remaining packages inside the chroot" => "installing packages",
        _ => return None,
    })
}

/// Turns what apt and dpkg said into what was needed and what to do.
fn explain(failure: Failure, request: &ContentRequest) -> Failure {
    if failure.message != "`mmdebstrap` failed" {
        // It did not even start.
        return failure;
    }
    let said = failure.details.join("\n");
    let between = |before: &str| -> Option<&str> {
        let rest = &said[said.find(before)? + before.len()..];
        rest.split_whitespace().next()
    };
    let archives = || request.sources.join(", ");
    if said.contains("No space left on device") || said.contains("You don't have enough free space") {
        return failure
            .context("there is not enough space for the content")
            .help("free some memory or disk space; `ister cache prune` empties the content cache");
    }
    let missing = between("Unable to locate package ")
        .or_else(|| between("Couldn't find any package by glob "))
        .map(|name| name.trim_matches('\'').to_owned())
        .or_else(|| {
            said.contains("has no installation candidate")
                .then(|| between("Package "))
                .flatten()
                .map(str::to_owned)
        });
    if let Some(package) = missing {
        return Failure::new(format!("the package `{package}` does not exist in {}", request.suite))
            .detail(format!("searched: {}", archives()))
            .help("correct the name in `Bundles`; a name that is no bundle is taken as a package");
    }
    if said.contains("NO_PUBKEY")
        || said.contains("is not signed")
        || said.contains("signatures were invalid")
    {
        return failure.context(format!("the archive's signature cannot be trusted: {}", archives())).help(
            "install the archive's keyring (Debian: debian-archive-keyring), or name another archive with -C",
        );
    }
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
    if UNREACHABLE.iter().any(|words| said.contains(words)) {
        return failure
            .context(format!("the archive cannot be reached: {}", archives()))
            .help("check the network and the proxy, or name another archive with -C");
    }
    if said.contains("does not have a Release file") || said.contains("404  Not Found") {
        return failure
            .context(format!("the archive has no suite `{}`: {}", request.suite, archives()))
            .help("correct `Version`, or name another archive with -C");
    }
    failure.context("could not install the content")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ContentRequest {
        ContentRequest {
            suite: "bookworm".into(),
            sources: vec!["deb http://a bookworm main".into()],
            packages: vec!["nano".into(), "udev".into()],
            epoch: None,
            apt_options: vec!["Acquire::http::Proxy \"http://u:secret@p\";".into()],
        }
    }

    #[test]
    fn the_key_is_about_content_only() {
        let one = request();
        assert_eq!(one.key(), ContentRequest { apt_options: vec![], ..one.clone() }.key());
        assert_ne!(one.key(), ContentRequest { packages: vec!["nano".into()], ..one.clone() }.key());
        assert_ne!(
            one.key(),
            ContentRequest { sources: vec!["deb http://b bookworm main".into()], ..one }.key()
        );
    }

    #[test]
    fn the_command_line() {
        assert_eq!(
            mmdebstrap(&request(), Path::new("/w/tree"), Path::new("/w/apt.conf")).to_string(),
            "mmdebstrap --mode=root --variant=minbase --format=directory --skip=check/empty --skip=cleanup/apt/lists \
             --dpkgopt=force-unsafe-io '--aptopt=Acquire::Languages \"none\"' \
             --aptopt=/w/apt.conf --include=nano,udev bookworm /w/tree \
             'deb http://a bookworm main'"
        );
    }

    #[test]
    fn what_apt_said_becomes_what_to_do() {
        let explained = |said: &str| {
            explain(Failure::new("`mmdebstrap` failed").detail(format!("it said: {said}")), &request())
                .message
        };
        assert_eq!(
            explained("E: Unable to locate package nonsense"),
            "the package `nonsense` does not exist in bookworm"
        );
        assert_eq!(
            explained("Err:1 http://a bookworm InRelease Could not connect to a:80"),
            "the archive cannot be reached: deb http://a bookworm main"
        );
        assert_eq!(
            explained("E: The repository 'http://a x Release' does not have a Release file."),
            "the archive has no suite `bookworm`: deb http://a bookworm main"
        );
        assert_eq!(explained("E: something else"), "could not install the content");
    }
}
