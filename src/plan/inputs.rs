//! What a plan depends on besides the template. All of it is given: a plan asks nobody.

use super::model::SwupdContent;
use crate::plan::bundle::Definitions;
use crate::plan::layout::{Lba, SectorSize};
use crate::template::{Bytes, Span};
use std::collections::BTreeMap;
use uuid::Uuid;

pub struct Inputs<'a> {
    pub definitions: &'a Definitions,
    /// Where content comes from, as far as somebody said.
    pub origin: Origin,
    /// File names of the templates whose content the image carries (`--carry`).
    pub carried: Vec<String>,
    /// Texts of the files that the template names as `key`, by path.
    pub key_files: BTreeMap<String, String>,
    /// Of image files; devices have their own.
    pub sector_size: SectorSize,
    /// `--seed`: all identifiers follow from it too.
    pub seed: Option<&'a str>,
    /// The block devices of a physical target, by name under /dev.
    pub devices: BTreeMap<String, Device>,
    /// What the content holds, once it is known.
    pub footprint: Option<&'a Footprint>,
}

impl<'a> Inputs<'a> {
    /// Nothing but bundle definitions: image files with sectors of 512 bytes, content not known yet.
    pub fn new(definitions: &'a Definitions) -> Inputs<'a> {
        Inputs {
            definitions,
            origin: Origin::default(),
            carried: Vec::new(),
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
    /// `-C URL`; nothing means the host's own package sources.
    pub archive: Option<String>,
    /// `--components`: of the archive's suite; none means "main".
    pub components: Vec<String>,
    /// `--source`: lines of sources.list(5).
    pub sources: Vec<String>,
    /// `-s FILE`: what signatures are checked with.
    pub keyring: Option<String>,
    /// `-d FILE`: dnf's configuration.
    pub configuration: Option<String>,
    /// What swupd is told.
    pub swupd: SwupdContent,
}

/// A block device of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub size: Bytes,
    pub sector_size: SectorSize,
    /// Its GUID partition table, if it has a valid one and somebody looked.
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
    /// As in the table.
    pub attributes: u64,
    /// Its filesystem, in blkid's words, if it has one that is known.
    pub filesystem: Option<String>,
}

/// What a root tree holds, as far as space is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Every node once: further hard links are not listed.
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Absolute.
    pub path: String,
    /// Bytes of data in a file or of a link's target.
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

/// A template that is well-formed, yet cannot become an image: what, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub span: Span,
    pub message: String,
    pub help: String,
}

impl Refusal {
    pub fn new(span: Span, message: impl Into<String>, help: impl Into<String>) -> Refusal {
        Refusal { span, message: message.into(), help: help.into() }
    }
}
