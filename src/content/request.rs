//! The request for a content tree, independent of the package manager.

use super::apt::AptRequest;
use super::cache::Metadata;
use super::dnf::DnfRequest;
use super::packages::missing;
use super::prepare::Ready;
use super::swupd_content::SwupdRequest;
use super::tree::Tree;
use super::{ContentKey, inventory, pack};
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
    /// Returns the cache key, which is the same for requests that result in the same tree.
    pub fn key(&self) -> String {
        let text = match self {
            ContentRequest::Apt(request) => request.identity(),
            ContentRequest::Dnf(request) => request.identity(),
            ContentRequest::Swupd(request) => request.identity(),
        };
        blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
    }

    /// Returns the approximate size of the tree in bytes, if it can be determined.
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

    fn wanted(&self) -> ContentKey {
        match self {
            ContentRequest::Apt(request) => ContentKey {
                suite: request.suite.clone(),
                packages: request.packages.clone(),
                sources: request.sources.clone(),
            },
            ContentRequest::Dnf(request) => ContentKey {
                suite: request.release.clone(),
                packages: request.packages.clone(),
                sources: request.repository.iter().cloned().collect(),
            },
            ContentRequest::Swupd(request) => ContentKey {
                suite: request.release.clone(),
                packages: request.request.bundles.clone(),
                sources: vec![request.request.content_url.clone()],
            },
        }
    }
}

/// Error for packages that are missing although the package manager succeeded. It may have interpreted a name
/// differently: apt-get reads `nano+` as nano.
fn not_installed(missing: Vec<String>) -> Failure {
    Failure::new(format!("requested packages were not installed: `{}`", missing.join("`, `")))
        .help("use the exact name and version of each package")
        .of_template()
        .about_packages(missing)
}

/// Installs a tree, prepares it for any image and packs it to `out`.
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
    progress.begin("storing the content in the cache");
    let (size, hash) = pack(&target, epoch, out).map_err(explain_full_cache)?;
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

/// Reports a full disk as a problem of the cache directory, not of the image.
fn explain_full_cache(failure: Failure) -> Failure {
    if failure.kind == FailureKind::StorageFull {
        return failure
            .context("there is not enough space for the content in the cache")
            .help("run `ister cache prune`, or select a directory on another disk with --cache-dir");
    }
    failure
}

pub(super) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
