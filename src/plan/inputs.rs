//! The inputs of a plan besides the template. They are collected by the caller; planning does no I/O.

use super::model::SwupdContent;
use crate::plan::bundle::Definitions;
use crate::plan::layout::{Lba, SectorSize};
use crate::template::{Bytes, Span};
use std::collections::BTreeMap;
use uuid::Uuid;

pub struct Inputs<'a> {
    pub definitions: &'a Definitions,
    /// Where content comes from.
    pub origin: Origin,
    /// File names of the templates whose content is embedded in the image (`--carry`).
    pub embedded: Vec<String>,
    /// Texts of the files that `key` refers to, by path.
    pub key_files: BTreeMap<String, String>,
    /// The sector size of image files. Devices have their own.
    pub sector_size: SectorSize,
    /// `--seed`, from which all identifiers are derived too.
    pub seed: Option<&'a str>,
    /// The block devices of a physical target, by their name under /dev.
    pub devices: BTreeMap<String, Device>,
    /// The files of the content, once it is known.
    pub footprint: Option<&'a Footprint>,
}

impl<'a> Inputs<'a> {
    /// Default inputs: image files with 512-byte sectors, and unknown content.
    pub fn new(definitions: &'a Definitions) -> Inputs<'a> {
        Inputs {
            definitions,
            origin: Origin::default(),
            embedded: Vec::new(),
            key_files: BTreeMap::new(),
            sector_size: SectorSize::B512,
            seed: None,
            devices: BTreeMap::new(),
            footprint: None,
        }
    }
}

/// Where content comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `-C URL`; `None` for the package sources of the host.
    pub archive: Option<String>,
    /// `--components` of the suite; if empty, "main".
    pub components: Vec<String>,
    /// `--source`: additional lines of sources.list(5).
    pub sources: Vec<String>,
    /// `-s FILE`: the keys for signature verification.
    pub keyring: Option<String>,
    /// `-d FILE`: dnf's configuration.
    pub configuration: Option<String>,
    /// Settings for swupd.
    pub swupd: SwupdContent,
}

/// A block device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub size: Bytes,
    pub sector_size: SectorSize,
    /// The GUID partition table, if it was read and is valid.
    pub table: Option<ExistingTable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingTable {
    pub guid: Uuid,
    pub partitions: Vec<ExistingPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingPartition {
    pub number: u32,
    pub name: String,
    pub type_guid: Uuid,
    pub guid: Uuid,
    pub first_lba: Lba,
    /// Inclusive.
    pub last_lba: Lba,
    /// The attribute bits of the table entry.
    pub attributes: u64,
    /// The name of the filesystem as reported by blkid, if it is known.
    pub filesystem: Option<String>,
}

/// The files of a root filesystem, for computing space.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// All files and directories. A file with several hard links is listed once.
    pub items: Vec<ContentItem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentItem {
    /// The absolute path.
    pub path: String,
    /// The size of a file's data or of a symbolic link's target, in bytes.
    pub bytes: u64,
    pub kind: ItemKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    Directory,
    File,
    Link,
    Other,
}

/// An error in a valid template that cannot be built: the position, the problem and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    pub span: Span,
    pub message: String,
    pub help: String,
}

impl PlanError {
    pub fn new(span: Span, message: impl Into<String>, help: impl Into<String>) -> PlanError {
        PlanError { span, message: message.into(), help: help.into() }
    }
}
