//! Allocation groups: headers, free space, and locations of inodes.

use super::super::format::{
    AGF_MAGIC, AGF_SECTOR, AGI_MAGIC, AGI_SECTOR, CHUNK, FREE_BY_START_MAGIC, INODES_MAGIC, incompat,
};
use super::super::header::crc_is_valid;
use super::super::superblock::Superblock;
use super::super::view::View;
use super::btree::{BtreeKind, Pointers, Roots};
use super::open::{Budget, Xfs, name};
use crate::disk::source::ReadError;
use std::ops::Range;

pub(crate) const AGF_CRC: usize = 216;
pub(crate) const AGI_CRC: usize = 312;

const FREE_SPACE: BtreeKind = BtreeKind {
    what: "free space btree of group",
    magic: FREE_BY_START_MAGIC,
    pointers: Pointers::Short,
    key: 8,
    record: 8,
};

const INODES: BtreeKind = BtreeKind {
    what: "inode btree of group",
    magic: INODES_MAGIC,
    pointers: Pointers::Short,
    key: 4,
    record: 16,
};

/// The on-disk headers of a group.
pub(crate) struct Group {
    pub number: u32,
    /// One sector each.
    pub agf: Vec<u8>,
    pub agi: Vec<u8>,
}

impl Group {
    pub(crate) fn agf_byte(superblock: &Superblock, number: u32) -> u64 {
        superblock.group_byte(number) + (AGF_SECTOR << superblock.sector_log)
    }

    pub(crate) fn agi_byte(superblock: &Superblock, number: u32) -> u64 {
        superblock.group_byte(number) + (AGI_SECTOR << superblock.sector_log)
    }
}

/// Consecutive inodes; usually all 64 exist.
pub(crate) struct InodeChunk {
    /// Number of the first inode.
    pub first: u64,
    /// One bit for each inode, lowest bit first.
    pub free: u64,
    /// One bit for each 4 inodes that do not exist on disk.
    pub holes: u16,
}

impl InodeChunk {
    /// The chunk must contain the inode.
    pub(crate) fn is_free(&self, inode: u64) -> bool {
        self.free >> (inode - self.first) & 1 == 1
    }

    pub(crate) fn holds(&self, inode: u64) -> bool {
        (self.first..self.first + CHUNK).contains(&inode) && self.holes >> ((inode - self.first) / 4) & 1 == 0
    }
}

impl Xfs<'_> {
    /// `number` must exist.
    pub(in super::super) fn group(&self, number: u32) -> Result<Group, ReadError> {
        let superblock = &self.superblock;
        let agf = self.bytes(Group::agf_byte(superblock, number), superblock.sector())?;
        let agi = self.bytes(Group::agi_byte(superblock, number), superblock.sector())?;
        let group = Group { number, agf, agi };
        self.check_group(&self.agf(&group), AGF_MAGIC, AGF_CRC)?;
        self.check_group(&self.agi(&group), AGI_MAGIC, AGI_CRC)?;
        Ok(group)
    }

    pub(in super::super) fn agf<'g>(&self, group: &'g Group) -> View<'g> {
        View {
            bytes: &group.agf,
            name: name("free space header (AGF) of group", group.number.into()),
            at: Group::agf_byte(&self.superblock, group.number),
        }
    }

    pub(in super::super) fn agi<'g>(&self, group: &'g Group) -> View<'g> {
        View {
            bytes: &group.agi,
            name: name("inode header (AGI) of group", group.number.into()),
            at: Group::agi_byte(&self.superblock, group.number),
        }
    }

    fn check_group(&self, view: &View, magic: u32, crc: usize) -> Result<(), ReadError> {
        view.expect("the magic number", view.u32(0)?, magic)?;
        view.expect("the group number", u64::from(view.u32(8)?), view.name.number)?;
        if self.superblock.version == 5 && !crc_is_valid(view.bytes, crc) {
            return Err(view.damaged("checksum mismatch"));
        }
        Ok(())
    }

    /// The free group blocks, sorted and disjoint.
    pub(in super::super) fn free_space(&self, group: &Group) -> Result<Vec<Range<u32>>, ReadError> {
        let header = self.agf(group);
        let length = self.superblock.group_length(group.number);
        let mut free: Vec<Range<u32>> = Vec::new();
        let roots = self.roots(&header, group, header.u32(16)?, header.u32(28)?)?;
        let mut budget = Budget::new(&self.superblock);
        self.records(FREE_SPACE, roots, &mut budget, &header, &mut |view, record| {
            let record = View { bytes: record, ..*view };
            let (start, count) = (record.u32(0)?, record.u32(4)?);
            let after = free.last().map_or(0, |last| last.end);
            match start.checked_add(count) {
                Some(end) if start >= after && count > 0 && end <= length => free.push(start..end),
                _ => return Err(view.damaged(format!("invalid range of {count} free blocks at {start}"))),
            }
            Ok(())
        })?;
        Ok(free)
    }

    /// All inode chunks of a group, sorted.
    pub(in super::super) fn chunks(&self, group: &Group) -> Result<Vec<InodeChunk>, ReadError> {
        let header = self.agi(group);
        let sparse = self.superblock.incompat & incompat::SPARSE_INODES != 0;
        let roots = self.roots(&header, group, header.u32(20)?, header.u32(24)?)?;
        let mut chunks: Vec<InodeChunk> = Vec::new();
        let mut budget = Budget::new(&self.superblock);
        self.records(INODES, roots, &mut budget, &header, &mut |view, record| {
            let record = View { bytes: record, ..*view };
            let in_group = record.u32(0)?;
            let first = self.superblock.inode_number(group.number, in_group.into());
            if chunks.last().is_some_and(|last| first < last.first + CHUNK) {
                return Err(view.damaged(format!("the inode chunk at {in_group} is out of order")));
            }
            chunks.push(InodeChunk {
                first,
                free: record.u64(8)?,
                holes: if sparse { record.u16(4)? } else { 0 },
            });
            Ok(())
        })?;
        Ok(chunks)
    }

    fn roots(&self, header: &View, group: &Group, root: u32, levels: u32) -> Result<Roots, ReadError> {
        let level = levels.checked_sub(1).and_then(|level| u16::try_from(level).ok());
        Ok(Roots {
            blocks: vec![self.group_block(header, group.number.into(), root)?],
            level: level.ok_or_else(|| header.damaged(format!("a btree has {levels} levels")))?,
            owner: group.number.into(),
        })
    }

    /// The byte ranges whose contents matter, even where they are zero: everything except free space. Sorted and
    /// disjoint.
    pub fn in_use(&self) -> Result<Vec<Range<u64>>, ReadError> {
        let superblock = &self.superblock;
        let mut used: Vec<Range<u64>> = Vec::new();
        let mut add = |range: Range<u64>| match used.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ => used.push(range),
        };
        for number in 0..superblock.groups {
            let base = superblock.group_byte(number);
            let byte = |block: u32| base + (u64::from(block) << superblock.block_log);
            let mut at = 0;
            for free in self.free_space(&self.group(number)?)? {
                add(byte(at)..byte(free.start));
                at = free.end;
            }
            add(byte(at)..byte(superblock.group_length(number)));
        }
        Ok(used)
    }
}
