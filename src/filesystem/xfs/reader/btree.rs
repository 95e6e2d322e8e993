//! Btrees on disk: of a group (short pointers) and of a fork (long pointers).
//!
//! A block has a header, then in leaves (level 0) records, above them keys and behind those as many pointers.

use super::super::format::MAX_LEVELS;
use super::super::header::Header;
use super::super::view::View;
use super::open::{Budget, Xfs, name};
use crate::filesystem::source::ReadError;

/// What kind of btree it is.
#[derive(Clone, Copy)]
pub struct Kind {
    pub what: &'static str,
    pub magic: (u32, u32),
    pub pointers: Pointers,
    /// Bytes.
    pub key: usize,
    pub record: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pointers {
    /// 4 bytes, counted from the group's start.
    Short,
    /// 8 bytes, block numbers.
    Long,
}

impl Pointers {
    /// Bytes of a block's header: (version 5, version 4).
    const fn header(self) -> (usize, usize) {
        match self {
            Self::Short => (56, 16),
            Self::Long => (72, 24),
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Short => 4,
            Self::Long => 8,
        }
    }

    fn seal(self) -> Header {
        match self {
            Self::Short => Header::SHORT_BTREE,
            Self::Long => Header::LONG_BTREE,
        }
    }
}

/// A btree's blocks to begin with.
pub struct Roots {
    /// Block numbers, from left to right.
    pub blocks: Vec<u64>,
    /// Of these blocks; 0 is leaves.
    pub level: u16,
    /// The inode, or the group.
    pub owner: u64,
}

/// Takes the block and a record of it.
pub type Visit<'v> = &'v mut dyn FnMut(&View, &[u8]) -> Result<(), ReadError>;

impl Xfs<'_> {
    /// Calls `visit` with the bytes of every record, from left to right.
    pub(super) fn records(
        &self,
        kind: Kind,
        roots: Roots,
        budget: &mut Budget,
        from: &View,
        visit: Visit,
    ) -> Result<(), ReadError> {
        if roots.level >= MAX_LEVELS {
            return Err(from.damaged(format!("its btree has {} levels", roots.level)));
        }
        let mut row = roots.blocks;
        for level in (0..=roots.level).rev() {
            let mut below = Vec::new();
            for number in row {
                budget.spend(1, from)?;
                let (bytes, at) = self.block(number, from)?;
                let view = View { bytes: &bytes, name: name(kind.what, roots.owner), at };
                let count = self.check_btree_block(&view, kind, level, roots.owner)?;
                let start = self.by_version(kind.pointers.header());
                if level == 0 {
                    for record in view.slice(start, count * kind.record)?.chunks_exact(kind.record) {
                        visit(&view, record)?;
                    }
                } else {
                    let room = (bytes.len() - start) / (kind.key + kind.pointers.width());
                    self.pointers(&view, kind, start + room * kind.key, count, roots.owner, &mut below)?;
                }
            }
            row = below;
        }
        Ok(())
    }

    /// Gives the number of records or pointers.
    fn check_btree_block(&self, view: &View, kind: Kind, level: u16, owner: u64) -> Result<usize, ReadError> {
        view.expect("the magic", view.u32(0)?, self.by_version(kind.magic))?;
        view.expect("the level", view.u16(4)?, level)?;
        self.check_header(view, kind.pointers.seal(), owner)?;
        Ok(view.u16(6)?.into())
    }

    fn pointers(
        &self,
        view: &View,
        kind: Kind,
        start: usize,
        count: usize,
        group: u64,
        below: &mut Vec<u64>,
    ) -> Result<(), ReadError> {
        let width = kind.pointers.width();
        view.slice(start, count * width)?;
        for offset in (start..).step_by(width).take(count) {
            below.push(match kind.pointers {
                Pointers::Long => view.u64(offset)?,
                Pointers::Short => self.group_block(view, group, view.u32(offset)?)?,
            });
        }
        Ok(())
    }

    /// The block number of a group's block.
    pub(super) fn group_block(&self, view: &View, group: u64, block: u32) -> Result<u64, ReadError> {
        let number = u32::try_from(group).ok().filter(|group| *group < self.superblock.groups);
        match number {
            Some(group) if block < self.superblock.group_length(group) => {
                Ok(self.superblock.block_number(group, block))
            }
            _ => Err(view.damaged(format!("it names block {block} of group {group}, which does not exist"))),
        }
    }
}
