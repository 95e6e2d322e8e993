//! Runs complete operations: installation, verification and listing.

use super::check::{self, Difference, differences};
use super::client::{Client, Signers, Version};
use super::closure::Loaded;
use super::compression::Budget;
use super::fetch::amount;
use super::install::{TRACKING, TargetTree, Tracking};
use super::manifest::Release;
use super::merge::{MergeError, MergedNode, merge};
use super::signature::Trust;
use super::source::{RETRIES, Source};
use super::state::State;
use crate::content::fetch::{Proxies, Retries};
use crate::host::{Context, Event, Failure, Progress};
use crate::plan::SwupdFormat;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What to install, from where, and which signatures to trust.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstallRequest {
    pub content_url: String,
    pub version_url: String,
    pub version: Version,
    /// Expected format; `None` accepts any format.
    pub format: Option<SwupdFormat>,
    /// Bundles to install. An empty list means os-core, which is then not recorded as requested.
    pub bundles: Vec<String>,
    pub skip_optional: bool,
    pub trusted: Trusted,
    /// The state directory.
    pub state: PathBuf,
    /// http_proxy and https_proxy, overriding the environment.
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    /// Number of retries, and seconds before the first one; by default as in upstream's client.
    pub retries: Option<(u32, u64)>,
}

/// Whose signatures are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trusted {
    /// Names and contents of certificate files in PEM; any of them may verify a signature.
    Certificates(Vec<(String, Vec<u8>)>),
    /// Signatures are not verified.
    Unverified,
}

/// Result of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Installed {
    pub version: u32,
    pub format: u32,
    /// Timestamp of the release, in seconds since 1970.
    pub timestamp: u64,
    /// All installed bundles with their versions, sorted by name.
    pub bundles: Vec<(String, u32)>,
    /// Number of entries in the tree.
    pub entries: usize,
}

/// The operation to perform.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    Install,
    Verify {
        /// Use the version recorded in the tree.
        any_version: bool,
        /// A directory that is searched for files that are not part of the content.
        extra: Option<String>,
    },
}

/// Versions and bundles on a mix or mirror.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Listing {
    pub version: u32,
    pub format: u32,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Older versions, newest first, as far as the chain of previous versions is available.
    pub versions: Vec<u32>,
    pub bundles: Vec<BundleFact>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BundleFact {
    pub name: String,
    pub version: u32,
    pub experimental: bool,
    /// Number of files, directories and links for every CPU.
    pub files: usize,
    /// Their size in bytes according to the manifest.
    pub bytes: u64,
    pub includes: Vec<String>,
    pub also_add: Vec<String>,
}

impl Trusted {
    /// Reads a certificate file, and `<path>.alt` if it exists.
    pub fn read(path: &Path) -> Result<Trusted, Failure> {
        let read = |path: &Path| -> std::io::Result<(String, Vec<u8>)> {
            Ok((path.display().to_string(), std::fs::read(path)?))
        };
        let first = read(path).context(|| format!("could not read the certificate `{}`", path.display()))?;
        let mut alternative = path.as_os_str().to_owned();
        alternative.push(".alt");
        Ok(Trusted::Certificates(std::iter::once(first).chain(read(Path::new(&alternative)).ok()).collect()))
    }

    fn signers(&self, now: u64) -> Result<Signers, Failure> {
        let Trusted::Certificates(files) = self else { return Ok(Signers::Unverified) };
        let mut trusted = Vec::new();
        for (index, (name, text)) in files.iter().enumerate() {
            match Trust::from_pem(text, now) {
                Ok(trust) => trusted.push(trust),
                Err(why) if index == 0 => {
                    return Err(Failure::new(format!(
                        "the certificate `{name}` cannot be used to verify signatures"
                    ))
                    .detail(why.to_string())
                    .help("specify another one with -s"));
                }
                Err(_) => (),
            }
        }
        Ok(Signers::Trusted(trusted))
    }
}

impl InstallRequest {
    /// Creates the client.
    fn client<'p>(&self, progress: &'p dyn Progress) -> Result<Client<'p>, Failure> {
        let now = now();
        let signers = self.trusted.signers(now)?;
        if matches!(signers, Signers::Unverified) {
            progress.warn("signatures are not verified: the mirror and the network can modify the content");
        }
        let proxies = Proxies { http: self.http_proxy.clone(), https: self.https_proxy.clone() };
        let retries = self.retries.map_or(RETRIES, |(count, seconds)| Retries {
            count,
            pause: Duration::from_secs(seconds),
            ..RETRIES
        });
        let source = Source::new(&self.content_url, &self.version_url, &proxies, retries)?;
        if source.is_unencrypted() {
            progress.warn(format!(
                "the connection to `{}` is not encrypted: content is verified, but its download is visible on the network",
                source.shown()
            ));
        }
        Ok(Client { source, signers, budget: Budget::default(), now, progress })
    }

    /// Returns the version number without fetching anything else.
    pub fn resolve(&self, progress: &dyn Progress) -> Result<u32, Failure> {
        match self.version {
            Version::Number(number) => Ok(number),
            Version::Latest => self.newest(&self.client(progress)?),
        }
    }

    fn newest(&self, client: &Client) -> Result<u32, Failure> {
        let format = self.format.ok_or_else(|| {
            Failure::new("could not determine the newest version: no format specified")
                .help("specify the format with -f, or a version number")
        })?;
        client.newest(format)
    }

    fn release(&self, client: &Client) -> Result<Release, Failure> {
        let version = match self.version {
            Version::Number(number) => number,
            Version::Latest => self.newest(client)?,
        };
        client.release(version, self.format)
    }

    /// Returns the size in bytes of everything to be installed, according to the manifests. Installs nothing.
    pub fn size(&self, progress: &dyn Progress) -> Result<u64, Failure> {
        // Warnings are reported during the installation.
        let silent = |_: Event| ();
        let client = self.client(&silent)?;
        progress.begin("fetching the release");
        let release = self.release(&client)?;
        let state = State::open(&self.state)?;
        let closure = client.closure(&release, &state, self.wanted(), !self.skip_optional)?;
        Ok(closure.bundles.iter().map(|loaded| loaded.manifest.header.content_size).sum())
    }

    fn wanted(&self) -> &[String] {
        static CORE: std::sync::LazyLock<[String; 1]> = std::sync::LazyLock::new(|| ["os-core".to_owned()]);
        if self.bundles.is_empty() { &*CORE } else { &self.bundles }
    }

    /// Lists versions and bundles. Installs nothing.
    pub fn list(&self, progress: &dyn Progress) -> Result<Listing, Failure> {
        const MOST_VERSIONS: usize = 50;
        let client = self.client(progress)?;
        progress.begin("fetching the release");
        let release = self.release(&client)?;
        let state = State::open(&self.state)?;
        progress.begin("reading manifests");
        let all: Vec<String> = release.bundles.iter().map(|line| line.name.to_string()).collect();
        let closure = client.closure(&release, &state, &all, false)?;
        let mut versions = Vec::new();
        let mut previous = release.header.previous;
        // Do not retry for old versions.
        let history = InstallRequest { retries: Some((0, 0)), ..self.clone() };
        let silent = |_: Event| ();
        let history = history.client(&silent)?;
        while previous > 0 && versions.len() < MOST_VERSIONS && !versions.contains(&previous) {
            // Old versions may be deleted or have another format.
            let Ok(older) = history.release(previous, None) else { break };
            versions.push(previous);
            previous = older.header.previous;
        }
        let mut bundles: Vec<BundleFact> = closure
            .bundles
            .iter()
            .map(|Loaded { line, manifest }| BundleFact {
                name: line.name.to_string(),
                version: line.version,
                experimental: line.experimental,
                files: manifest.files.len(),
                bytes: manifest.header.content_size,
                includes: manifest.header.includes.clone(),
                also_add: manifest.header.also_add.clone(),
            })
            .collect();
        bundles.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Listing {
            version: release.header.version,
            format: release.header.format,
            timestamp: release.header.timestamp,
            versions,
            bundles,
        })
    }

    /// Compares a tree with its manifests. Settings missing in the request are taken from the tree.
    pub fn verify(
        &self,
        tree: &Path,
        any_version: bool,
        extra: Option<&str>,
        progress: &dyn Progress,
    ) -> Result<Vec<Difference>, Failure> {
        let target = TargetTree::open(tree)?;
        let installed = installed_in(&target);
        let mut request = self.clone();
        if any_version {
            request.version = installed.version.ok_or_else(|| {
                Failure::new(format!("could not determine the version of `{}`", tree.display()))
                    .detail("missing number in VERSION_ID of its os-release")
                    .help("specify the version with --version")
            })?;
        }
        if request.bundles.is_empty() {
            request.bundles = installed.bundles;
        }
        let client = request.client(progress)?;
        progress.begin("fetching the release");
        let release = request.release(&client)?;
        let state = State::open(&request.state)?;
        let closure = client.closure(&release, &state, &request.bundles, !request.skip_optional)?;
        let nodes = merge(&closure.bundles).map_err(|error| no_tree(&release, &error))?;
        progress.begin(format!("comparing {} files and directories", nodes.len()));
        let name = |node: &MergedNode| closure.bundles[node.bundle].line.name.to_string();
        let mut found = differences(&nodes, &target, name)?;
        if let Some(directory) = extra {
            found.extend(check::extra(&nodes, &target, directory)?);
        }
        Ok(found)
    }

    /// Installs to an existing directory.
    pub fn install(&self, target: &Path, progress: &dyn Progress) -> Result<Installed, Failure> {
        let client = self.client(progress)?;
        progress.begin("fetching the release");
        let release = self.release(&client)?;
        let state = State::open(&self.state)?;
        let closure = client.closure(&release, &state, self.wanted(), !self.skip_optional)?;
        let nodes = merge(&closure.bundles).map_err(|error| no_tree(&release, &error))?;
        let plural = if closure.bundles.len() == 1 { "" } else { "s" };
        progress.begin(format!("fetching {} bundle{plural}", closure.bundles.len()));
        let started = Instant::now();
        let fetched = client.fetch(&state, &closure.bundles, &nodes)?;
        if fetched.bytes > 0 {
            progress.note(format!(
                "{}, {} packs and {} single files",
                amount(fetched.bytes, started.elapsed()),
                fetched.packs,
                fetched.files
            ));
        }
        progress.begin(format!("installing {} files and directories", nodes.len()));
        let target = TargetTree::open(target)?;
        let _ours = target.lock()?;
        let tracking = Tracking { bundles: &self.bundles, time: release.header.timestamp };
        client.install(&state, &closure.bundles, &nodes, &target, &tracking)?;
        let mut bundles: Vec<_> = closure
            .bundles
            .iter()
            .map(|loaded| (loaded.line.name.to_string(), loaded.line.version))
            .collect();
        bundles.sort();
        Ok(Installed {
            version: release.header.version,
            format: release.header.format,
            timestamp: release.header.timestamp,
            bundles,
            entries: nodes.len(),
        })
    }
}

fn no_tree(release: &Release, error: &MergeError) -> Failure {
    let mut failure = Failure::new(format!("version {} has inconsistent manifests", release.header.version))
        .detail(error.to_string());
    if let MergeError::Conflict(conflict) = error {
        for (bundle, hash) in &conflict.sides {
            failure = failure.detail(format!("{bundle}: {hash}"));
        }
    }
    failure.help("report it to the publisher of this content")
}

struct InTree {
    version: Option<Version>,
    bundles: Vec<String>,
}

/// Reads version and bundles of a tree. Source: swupd-client: tracking files, or os-core by default.
fn installed_in(target: &TargetTree) -> InTree {
    let release = target.read(b"/usr/lib/os-release").unwrap_or_default();
    let version =
        release.lines().find_map(|line| Version::number(line.strip_prefix("VERSION_ID=")?.trim_matches('"')));
    let names = target.names(TRACKING.as_bytes()).unwrap_or_default();
    let mut bundles: Vec<String> =
        names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
    bundles.sort();
    if bundles.is_empty() {
        bundles.push("os-core".to_owned());
    }
    InTree { version, bundles }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
