//! Opening a filesystem, and reading blocks of it.

use super::super::format::incompat;
use super::super::header::Header;
use super::super::superblock::Superblock;
use super::super::view::{Name, View};
use crate::disk::source::{ReadError, Source};
use uuid::Uuid;

/// What can be read although a kernel may know it by a bit of its own.
const KNOWN: u32 = incompat::FTYPE
    | incompat::SPARSE_INODES
    | incompat::META_UUID
    | incompat::BIGTIME
    | incompat::NREXT64
    | incompat::EXCHANGE_RANGE
    | incompat::PARENT;

/// A filesystem, open for reading. Changes that are only in its log are not seen: unmount it first.
pub struct Xfs<'a> {
    source: &'a dyn Source,
    pub(in super::super) superblock: Superblock,
}

impl<'a> Xfs<'a> {
    pub fn open(source: &'a dyn Source) -> Result<Self, ReadError> {
        let superblock = Superblock::read(source)?;
        if superblock.incompat & incompat::NEEDS_REPAIR != 0 {
            return Err(ReadError::Unsupported("the filesystem is marked as in need of xfs_repair".into()));
        }
        let unknown = superblock.incompat & !KNOWN;
        if unknown != 0 {
            return Err(ReadError::Unsupported(format!(
                "the filesystem has features that are not known here (incompat bits {unknown:#x})"
            )));
        }
        Ok(Self { source, superblock })
    }

    /// Without the zeros at its end; it has no encoding, so bytes that are no UTF-8 are replaced.
    pub fn label(&self) -> String {
        let label = &self.superblock.label;
        let end = label.iter().position(|byte| *byte == 0).unwrap_or(label.len());
        String::from_utf8_lossy(&label[..end]).into_owned()
    }

    pub fn uuid(&self) -> Uuid {
        self.superblock.uuid
    }

    /// As the superblock counts it; a kernel keeps a part of it for its own btrees.
    pub fn free_bytes(&self) -> u64 {
        self.superblock.free_blocks.min(self.superblock.blocks) << self.superblock.block_log
    }

    /// Bytes anywhere. The length is no more than a few blocks.
    pub(super) fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; length];
        self.source.read_at(&mut bytes, at).map_err(|error| ReadError::Io { at, error })?;
        Ok(bytes)
    }

    /// One block by its number. `from` is where the number was found, for the message.
    pub(super) fn block(&self, number: u64, from: &View) -> Result<(Vec<u8>, u64), ReadError> {
        let at = self
            .superblock
            .run(number, 1)
            .ok_or_else(|| from.damaged(format!("it names block {number:#x}, which does not exist")))?;
        Ok((self.bytes(at, self.superblock.block())?, at))
    }

    /// Checks what version 5 writes in each metadata block.
    pub(super) fn check_header(&self, view: &View, header: Header, owner: u64) -> Result<(), ReadError> {
        if self.superblock.version < 5 {
            return Ok(());
        }
        let uuid = self.superblock.metadata_uuid;
        match header.fault(view.bytes, Superblock::daddr(view.at), owner, uuid) {
            Some(problem) => Err(view.damaged(problem)),
            None => Ok(()),
        }
    }

    /// One of two magics, or other numbers that depend on the version.
    pub(super) fn by_version<T>(&self, (five, four): (T, T)) -> T {
        if self.superblock.version == 5 { five } else { four }
    }
}

/// How much more may be read of metadata: each block has one place, so no tree needs more than all blocks once. Ends
/// loops and shared blocks of damaged filesystems.
pub(super) struct Budget {
    blocks: u64,
}

impl Budget {
    pub(super) fn new(superblock: &Superblock) -> Self {
        Self { blocks: superblock.blocks }
    }

    /// `view` is what asks for more.
    pub(super) fn spend(&mut self, blocks: u64, view: &View) -> Result<(), ReadError> {
        self.blocks = self
            .blocks
            .checked_sub(blocks)
            .ok_or_else(|| view.damaged("its blocks go in circles: more of them than the filesystem has"))?;
        Ok(())
    }
}

pub(super) fn name(kind: &'static str, number: u64) -> Name {
    Name { kind, number }
}
