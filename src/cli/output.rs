//! What `--format json` prints, where the value is not printed as it is. `ister schema` has the schemas.

use crate::boot::Verdict;
use crate::content::{Metadata, swupd};
use crate::imagetest::{LeastMemory, Results};
use crate::report::Receipt;
use crate::template::Bytes;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// `ister build --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BuildOutput<'b> {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    pub version: u32,
    /// The image file; null for devices.
    pub image: Option<&'b PathBuf>,
    /// Image files or devices.
    pub disks: &'b [PathBuf],
    pub plan: &'b Path,
    /// Files in the formats that `Formats` lists.
    pub published: &'b [PathBuf],
    /// Bytes of all disks.
    pub size: Bytes,
    /// Bytes that the image takes on the host's disk.
    pub allocated: Bytes,
    /// The list of installed packages.
    pub packages: PathBuf,
    /// The SBOM, in the form SPDX 2.3.
    pub sbom: PathBuf,
    /// The SBOM in the form CycloneDX 1.5.
    pub cyclonedx: PathBuf,
    /// The role that the service of `IsterCloudInitSvc` gave.
    pub role: Option<&'b str>,
    pub content: ContentOutput<'b>,
    /// With `--boot-test`, if the image booted.
    pub receipt: Option<&'b Receipt>,
    /// With `--boot-test`, if it did not.
    pub verdict: Option<&'b Verdict>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ContentOutput<'b> {
    pub title: &'b str,
    /// Whether the content came from the cache.
    pub cached: bool,
    /// The archive's date: seconds since 1970-01-01 00:00 UTC. Later timestamps are set to it.
    pub epoch: u64,
}

/// `ister cache list --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CacheOutput<'c> {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    pub version: u32,
    pub directory: &'c Path,
    pub entries: Vec<CacheEntryOutput>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct CacheEntryOutput {
    /// A hash of everything that the content depends on.
    pub key: String,
    pub metadata: Metadata,
}

/// `ister report --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ReportOutput<'r> {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    pub version: u32,
    pub results: &'r Results,
    /// Types that were planned and have no result.
    pub missing: &'r [String],
    /// Numbers of the shards without results.
    pub absent: &'r [usize],
    /// Types that several parts tested.
    pub repeated: &'r [String],
    /// Parts of other commits.
    pub foreign: Vec<&'r Path>,
    /// All runs that were found, oldest first.
    pub runs: Vec<&'r str>,
}

/// `ister swupd verify --format json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SwupdVerifyOutput<'d> {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    pub version: u32,
    pub differences: &'d [swupd::Difference],
}

/// `ister test --least-memory`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LeastMemoryOutput {
    #[cfg_attr(test, schemars(extend("const" = 1)))]
    pub version: u32,
    pub types: Vec<LeastMemory>,
}
