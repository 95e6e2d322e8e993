//! Opening a filesystem and reading blocks.

use super::super::format::incompat;
use super::super::header::HeaderOffsets;
use super::super::superblock::Superblock;
use super::super::view::{Name, View};
use crate::disk::source::{ReadError, Source};
use uuid::Uuid;

/// Incompatible features that this reader supports.
const KNOWN: u32 = incompat::FTYPE
    | incompat::SPARSE_INODES
    | incompat::META_UUID
    | incompat::BIGTIME
    | incompat::NREXT64
    | incompat::EXCHANGE_RANGE
    | incompat::PARENT;

/// A filesystem that is open for reading. Changes that are only in the log are not visible: unmount the filesystem
/// first.
pub struct Xfs<'a> {
    source: &'a dyn Source,
    pub(in super::super) superblock: Superblock,
}

impl<'a> Xfs<'a> {
    pub fn open(source: &'a dyn Source) -> Result<Self, ReadError> {
        let superblock = Superblock::read(source)?;
        if superblock.incompat & incompat::NEEDS_REPAIR != 0 {
            return Err(ReadError::Unsupported("the filesystem is marked as needing xfs_repair".into()));
        }
        let unknown = superblock.incompat & !KNOWN;
        if unknown != 0 {
            return Err(ReadError::Unsupported(format!(
                "unsupported XFS features (incompat bits {unknown:#x})"
            )));
        }
        Ok(Self { source, superblock })
    }

    /// The label without trailing zeros. Its encoding is not defined; invalid UTF-8 is replaced.
    pub fn label(&self) -> String {
        let label = &self.superblock.label;
        let end = label.iter().position(|byte| *byte == 0).unwrap_or(label.len());
        String::from_utf8_lossy(&label[..end]).into_owned()
    }

    pub fn uuid(&self) -> Uuid {
        self.superblock.uuid
    }

    /// The superblock's counter; the kernel reserves a part of it for its own btrees.
    pub fn free_bytes(&self) -> u64 {
        self.superblock.free_blocks.min(self.superblock.blocks) << self.superblock.block_log
    }

    /// Reads bytes anywhere. Callers limit the length to a few blocks.
    pub(super) fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; length];
        self.source.read_at(&mut bytes, at).map_err(|error| ReadError::Io { at, error })?;
        Ok(bytes)
    }

    /// Reads a block. `from` is the structure with the block number, for error messages.
    pub(super) fn block(&self, number: u64, from: &View) -> Result<(Vec<u8>, u64), ReadError> {
        let at = self
            .superblock
            .run(number, 1)
            .ok_or_else(|| from.damaged(format!("block {number:#x} is referenced but does not exist")))?;
        Ok((self.bytes(at, self.superblock.block())?, at))
    }

    /// Checks the header fields of version 5 metadata blocks.
    pub(super) fn check_header(
        &self,
        view: &View,
        header: HeaderOffsets,
        owner: u64,
    ) -> Result<(), ReadError> {
        if self.superblock.version < 5 {
            return Ok(());
        }
        let uuid = self.superblock.metadata_uuid;
        match header.fault(view.bytes, Superblock::daddr(view.at), owner, uuid) {
            Some(problem) => Err(view.damaged(problem)),
            None => Ok(()),
        }
    }

    /// Selects a magic number, or another number that depends on the version.
    pub(super) fn by_version<T>(&self, (five, four): (T, T)) -> T {
        if self.superblock.version == 5 { five } else { four }
    }
}

/// Limits the amount of metadata that is read. Every block has one location, so a valid tree never needs more than all
/// blocks once. This ends loops and shared blocks in damaged filesystems.
pub(super) struct Budget {
    blocks: u64,
}

impl Budget {
    pub(super) fn new(superblock: &Superblock) -> Self {
        Self { blocks: superblock.blocks }
    }

    /// `view` is the structure that is being read.
    pub(super) fn spend(&mut self, blocks: u64, view: &View) -> Result<(), ReadError> {
        self.blocks = self
            .blocks
            .checked_sub(blocks)
            .ok_or_else(|| view.damaged("the blocks form a loop: more of them than the filesystem has"))?;
        Ok(())
    }
}

pub(super) fn name(kind: &'static str, number: u64) -> Name {
    Name { kind, number }
}
