//! What a tree is made from, whoever makes it.

use super::apt::AptRequest;
use super::cache::Metadata;
use super::dnf::DnfRequest;
use super::packages::missing;
use super::prepare::Ready;
use super::swupd_content::SwupdRequest;
use super::tree::Tree;
use super::{Wanted, inventory, pack};
use crate::host::{Failure, FailureKind, Progress};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::Path;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ContentRequest {
    Apt(AptRequest),
    Dnf(DnfRequest),
    Swupd(SwupdRequest),
}

impl ContentRequest {
    /// The cache key: the same for everything that gives the same tree.
    pub fn key(&self) -> String {
        let text = match self {
            ContentRequest::Apt(request) => request.identity(),
            ContentRequest::Dnf(request) => request.identity(),
            ContentRequest::Swupd(request) => request.identity(),
        };
        blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
    }

    /// Bytes that the tree will take, about, if that can be known.
    pub fn size(&self, progress: &dyn Progress) -> Result<Option<u64>, Failure> {
        match self {
            ContentRequest::Swupd(request) => request.request.size(progress).map(Some),
            ContentRequest::Apt(_) | ContentRequest::Dnf(_) => Ok(None),
        }
    }

    fn title(&self) -> String {
        match self {
            ContentRequest::Apt(request) => format!("apt {}", request.suite),
            ContentRequest::Dnf(request) => format!("dnf {}", request.release),
            ContentRequest::Swupd(request) => format!("swupd {}", request.version()),
        }
    }

    fn wanted(&self) -> Wanted {
        match self {
            ContentRequest::Apt(request) => Wanted {
                suite: request.suite.clone(),
                packages: request.packages.clone(),
                sources: request.sources.clone(),
            },
            ContentRequest::Dnf(request) => Wanted {
                suite: request.release.clone(),
                packages: request.packages.clone(),
                sources: request.repository.iter().cloned().collect(),
            },
            ContentRequest::Swupd(request) => Wanted {
                suite: request.release.clone(),
                packages: request.request.bundles.clone(),
                sources: vec![request.request.content_url.clone()],
            },
        }
    }
}

/// The package manager succeeded and took a name for another, or for something else than a name: apt-get reads `nano+` as
/// nano.
fn not_installed(missing: Vec<String>) -> Failure {
    Failure::new(format!("the content does not have what was requested: `{}`", missing.join("`, `")))
        .help("write each package with the name and version that it is installed with")
        .of_template()
        .about_packages(missing)
}

/// Fills a tree, makes it ready for any image, and packs it into `out`.
pub fn fill(
    request: &ContentRequest,
    workspace: &Path,
    out: &File,
    progress: &dyn Progress,
) -> Result<Metadata, Failure> {
    let target = workspace.join("tree");
    let mut bundles = None;
    let Ready { epoch } = match request {
        ContentRequest::Apt(apt) => apt.fill(workspace, &target, progress)?,
        ContentRequest::Dnf(dnf) => dnf.fill(workspace, &target, progress)?,
        ContentRequest::Swupd(swupd) => {
            let (ready, installed) = swupd.fill(&target, progress)?;
            bundles = Some(installed.bundles);
            ready
        }
    };
    let packages = match bundles {
        Some(bundles) => {
            let version = |(name, version): (String, u32)| (name, version.to_string());
            bundles.into_iter().map(version).collect()
        }
        None => {
            let tree = Tree::open(&target)?;
            let missing = missing(&tree, &request.wanted().packages, workspace)?;
            if !missing.is_empty() {
                return Err(not_installed(missing));
            }
            let listed = inventory(&tree, workspace)?.packages;
            listed.into_iter().map(|package| (package.name, package.version)).collect::<Vec<_>>()
        }
    };
    let unit = if matches!(request, ContentRequest::Swupd(_)) { "bundles" } else { "packages" };
    progress.begin("keeping the content in the cache");
    let (size, hash) = pack(&target, epoch, out).map_err(no_room_in_cache)?;
    Ok(Metadata {
        title: format!("{}, {} {unit}", request.title(), packages.len()),
        created: now(),
        size,
        hash,
        epoch,
        packages,
        wanted: request.wanted(),
    })
}

/// A full disk is the cache's here, not the image's.
fn no_room_in_cache(failure: Failure) -> Failure {
    if failure.kind == FailureKind::StorageFull {
        return failure
            .context("there is not enough space for the content in the cache")
            .help("`ister cache prune` empties it; --cache-dir chooses another disk");
    }
    failure
}

pub(super) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
