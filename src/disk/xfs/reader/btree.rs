//! On-disk btrees of groups (short pointers) and of forks (long pointers).
//!
//! A block has a header. Leaves (level 0) contain records; higher levels contain keys, followed by as many pointers.

use super::super::format::MAX_LEVELS;
use super::super::header::HeaderOffsets;
use super::super::view::View;
use super::open::{Budget, Xfs, name};
use crate::disk::source::ReadError;
use std::collections::HashSet;

/// The type of a btree.
#[derive(Clone, Copy)]
pub(super) struct BtreeKind {
    pub what: &'static str,
    pub magic: (u32, u32),
    pub pointers: Pointers,
    /// Size in bytes.
    pub key: usize,
    pub record: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pointers {
    /// 4 bytes, relative to the group's start.
    Short,
    /// 8 bytes, block numbers.
    Long,
}

impl Pointers {
    /// Size of a block's header in bytes: (version 5, version 4).
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

    fn seal(self) -> HeaderOffsets {
        match self {
            Self::Short => HeaderOffsets::SHORT_BTREE,
            Self::Long => HeaderOffsets::LONG_BTREE,
        }
    }
}

/// The top-level blocks of a btree.
pub(super) struct Roots {
    /// Block numbers, from left to right.
    pub blocks: Vec<u64>,
    /// Level of these blocks; 0 means leaves.
    pub level: u16,
    /// The inode or the group.
    pub owner: u64,
}

/// A callback for a block and a record in it.
pub(super) type Visit<'v> = &'v mut dyn FnMut(&View, &[u8]) -> Result<(), ReadError>;

impl Xfs<'_> {
    /// Calls `visit` with the bytes of every record, from left to right.
    pub(super) fn records(
        &self,
        kind: BtreeKind,
        roots: Roots,
        budget: &mut Budget,
        from: &View,
        visit: Visit,
    ) -> Result<(), ReadError> {
        if roots.level >= MAX_LEVELS {
            return Err(from.damaged(format!("the btree has {} levels", roots.level)));
        }
        let Roots { blocks, level, owner } = roots;
        let mut walk = BtreeWalk { xfs: self, kind, owner, seen: HashSet::new(), budget, visit };
        blocks.into_iter().try_for_each(|number| walk.block(number, level, from))
    }

    /// The block number of a group's block.
    pub(super) fn group_block(&self, view: &View, group: u64, block: u32) -> Result<u64, ReadError> {
        let number = u32::try_from(group).ok().filter(|group| *group < self.superblock.groups);
        match number {
            Some(group) if block < self.superblock.group_length(group) => {
                Ok(self.superblock.block_number(group, block))
            }
            _ => {
                Err(view.damaged(format!("block {block} of group {group} is referenced but does not exist")))
            }
        }
    }
}

struct BtreeWalk<'w, 'a> {
    xfs: &'w Xfs<'a>,
    kind: BtreeKind,
    owner: u64,
    /// Block numbers. Without this check, a block with several references would be read with its subtree for each of
    /// them.
    seen: HashSet<u64>,
    budget: &'w mut Budget,
    visit: Visit<'w>,
}

impl BtreeWalk<'_, '_> {
    /// Reads a block and its subtree. The level decreases with every call, so the recursion depth is bounded.
    fn block(&mut self, number: u64, level: u16, from: &View) -> Result<(), ReadError> {
        let BtreeKind { what, pointers, key, record, .. } = self.kind;
        if !self.seen.insert(number) {
            return Err(from.damaged(format!("block {number:#x} occurs more than once in the btree")));
        }
        self.budget.spend(1, from)?;
        let (bytes, at) = self.xfs.block(number, from)?;
        let view = View { bytes: &bytes, name: name(what, self.owner), at };
        let count = self.check(&view, level)?;
        let start = self.xfs.by_version(pointers.header());
        if level == 0 {
            let mut records = view.slice(start, count * record)?.chunks_exact(record);
            return records.try_for_each(|record| (self.visit)(&view, record));
        }
        let start = start + (bytes.len() - start) / (key + pointers.width()) * key;
        view.slice(start, count * pointers.width())?;
        for offset in (start..).step_by(pointers.width()).take(count) {
            let below = match pointers {
                Pointers::Long => view.u64(offset)?,
                Pointers::Short => self.xfs.group_block(&view, self.owner, view.u32(offset)?)?,
            };
            self.block(below, level - 1, &view)?;
        }
        Ok(())
    }

    /// Returns the number of records or pointers.
    fn check(&self, view: &View, level: u16) -> Result<usize, ReadError> {
        view.expect("the magic number", view.u32(0)?, self.xfs.by_version(self.kind.magic))?;
        view.expect("the level", view.u16(4)?, level)?;
        self.xfs.check_header(view, self.kind.pointers.seal(), self.owner)?;
        Ok(view.u16(6)?.into())
    }
}
