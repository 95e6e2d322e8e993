//! The mapping from a fork to blocks.

use super::super::format::{EXTENT_RECORD, EXTENTS_MAGIC, fork};
use super::super::view::View;
use super::btree::{BtreeKind, Pointers, Roots};
use super::inode::{Fork, Inode};
use super::open::{Budget, Xfs};
use crate::disk::source::ReadError;
use std::fmt;

const EXTENTS: BtreeKind = BtreeKind {
    what: "extent btree of inode",
    magic: EXTENTS_MAGIC,
    pointers: Pointers::Long,
    key: 8,
    record: EXTENT_RECORD,
};

/// The root of an extent btree in an inode: a header of 4 bytes, then keys and pointers of 8 bytes each.
const ROOT_HEADER: usize = 4;
const ROOT_ENTRY: usize = 16;

/// Blocks that are contiguous in a fork and on disk.
#[derive(Clone, Copy)]
pub(super) struct Mapping {
    /// Blocks from the fork's start.
    pub offset: u64,
    /// A block number; all `count` blocks exist in one group.
    pub start: u64,
    pub count: u64,
    /// Allocated but unwritten: reads as zeros.
    pub unwritten: bool,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, start, count, .. } = self;
        write!(f, "an extent of {count} blocks at block {start:#x}, at offset {offset} of the fork")
    }
}

impl Mapping {
    fn parse(record: &View) -> Result<Self, ReadError> {
        let (high, low) = (record.u64(0)?, record.u64(8)?);
        Ok(Self {
            offset: high << 1 >> 10,
            start: (high & 0x1ff) << 43 | low >> 21,
            count: low & 0x1f_ffff,
            unwritten: high >> 63 != 0,
        })
    }
}

impl Xfs<'_> {
    /// All mappings of a fork, sorted and disjoint.
    pub(super) fn mappings(
        &self,
        inode: &Inode,
        fork: &Fork,
        budget: &mut Budget,
    ) -> Result<Vec<Mapping>, ReadError> {
        let view = inode.fork(fork)?;
        let mut mappings: Vec<Mapping> = Vec::new();
        let mut add = |holder: &View, record: &[u8]| {
            let mapping = Mapping::parse(&View { bytes: record, ..*holder })?;
            let after = mappings.last().map_or(0, |last| last.offset + last.count);
            if mapping.offset < after || self.superblock.run(mapping.start, mapping.count).is_none() {
                return Err(holder.damaged(format!("invalid mapping: {mapping}")));
            }
            mappings.push(mapping);
            Ok(())
        };
        match fork.format {
            fork::EXTENTS => {
                let length =
                    usize::try_from(fork.extents).ok().and_then(|count| count.checked_mul(EXTENT_RECORD));
                let records = length.and_then(|length| view.bytes.get(..length)).ok_or_else(|| {
                    view.damaged(format!("{} extents do not fit into {} bytes", fork.extents, fork.length))
                })?;
                records.chunks_exact(EXTENT_RECORD).try_for_each(|record| add(&view, record))?;
            }
            fork::BTREE => {
                let roots = extent_roots(&view, inode.number)?;
                self.records(EXTENTS, roots, budget, &view, &mut add)?;
            }
            format => return Err(view.damaged(format!("fork format {format} does not have extents"))),
        }
        Ok(mappings)
    }
}

fn extent_roots(view: &View, owner: u64) -> Result<Roots, ReadError> {
    let (level, count) = (view.u16(0)?, usize::from(view.u16(2)?));
    let room = view.bytes.len().saturating_sub(ROOT_HEADER) / ROOT_ENTRY;
    let below = level.checked_sub(1).filter(|_| count <= room);
    let level =
        below.ok_or_else(|| view.damaged(format!("a root of level {level} with {count} pointers")))?;
    let pointer = |index| view.u64(ROOT_HEADER + room * 8 + index * 8);
    Ok(Roots { blocks: (0..count).map(pointer).collect::<Result<_, _>>()?, level, owner })
}
