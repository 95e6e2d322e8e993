//! Block groups: the locations of bitmaps, inode tables and descriptors, and the groups with backup superblocks.
//!
//! Source: kernel, `Documentation/filesystems/ext4/group_descr.rst` and `blockgroup.rst`.

use super::superblock::{Superblock, compatible, incompatible, read_only};
use crate::disk::bytes::{damaged, joined, read, u16_at, u32_at};
use crate::disk::source::{ReadError, Source};
use crate::plan::capacity::ext::is_sparse_backup;
use std::ops::Range;

/// Inode bitmap and inode table were never written.
const INODE_UNINIT: u16 = 1;
/// The block bitmap was never written: only the group's own metadata is in use.
const BLOCK_UNINIT: u16 = 2;
/// The unused part of the inode table is zeroed.
const INODE_ZEROED: u16 = 4;
/// Descriptors of at least this size contain the high halves of numbers.
const WIDE_DESCRIPTOR: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// Block numbers.
    pub block_bitmap: u64,
    pub inode_bitmap: u64,
    pub inode_table: u64,
    flags: u16,
    /// Inodes at the end of the table that were never used.
    unused_inodes: u32,
}

impl Group {
    pub(super) fn blocks_unwritten(&self) -> bool {
        self.flags & BLOCK_UNINIT != 0
    }

    pub(super) fn inodes_unwritten(&self) -> bool {
        self.flags & INODE_UNINIT != 0
    }

    /// Whether the kernel zeroes the unused part of the inode table after mounting.
    pub(super) fn will_be_zeroed(&self) -> bool {
        self.inodes_unwritten() && self.flags & INODE_ZEROED == 0
    }

    /// The number of inodes at the start of the table that may be in use.
    pub(super) fn used_inodes(&self, superblock: &Superblock) -> u32 {
        if self.inodes_unwritten() { 0 } else { superblock.group_inodes.saturating_sub(self.unused_inodes) }
    }
}

pub(super) fn read_groups(source: &dyn Source, superblock: &Superblock) -> Result<Vec<Group>, ReadError> {
    let mut groups = Vec::new();
    let per_block = superblock.descriptors_per_block();
    for index in 0..u64::from(superblock.groups).div_ceil(per_block) {
        let block = descriptor_block(superblock, index);
        let start = block * superblock.block_size;
        if block >= superblock.blocks {
            return Err(damaged("group descriptors", start, "outside the filesystem"));
        }
        let bytes = read(source, start, superblock.block_size as usize)?;
        let left = u64::from(superblock.groups) - index * per_block;
        for slot in 0..left.min(per_block) as usize {
            let at = slot * superblock.descriptor_size;
            let group = parse(superblock, &bytes[at..at + superblock.descriptor_size]);
            check(superblock, &group, groups.len(), start + at as u64)?;
            groups.push(group);
        }
    }
    Ok(groups)
}

fn parse(superblock: &Superblock, bytes: &[u8]) -> Group {
    let high = |at: usize| if bytes.len() >= WIDE_DESCRIPTOR { u32_at(bytes, at) } else { 0 };
    let unused_high = if bytes.len() >= WIDE_DESCRIPTOR { u16_at(bytes, 0x32) } else { 0 };
    let flagged = superblock.has_group_flags();
    Group {
        block_bitmap: joined(u32_at(bytes, 0x0), high(0x20)),
        inode_bitmap: joined(u32_at(bytes, 0x4), high(0x24)),
        inode_table: joined(u32_at(bytes, 0x8), high(0x28)),
        flags: if flagged { u16_at(bytes, 0x12) } else { 0 },
        unused_inodes: if flagged {
            u32::from(unused_high) << 16 | u32::from(u16_at(bytes, 0x1c))
        } else {
            0
        },
    }
}

fn check(superblock: &Superblock, group: &Group, number: usize, at: u64) -> Result<(), ReadError> {
    let inside = |block: u64, length: u64| {
        block >= superblock.first_block
            && block.checked_add(length).is_some_and(|end| end <= superblock.blocks)
    };
    let table = superblock.inode_table_blocks();
    if !inside(group.block_bitmap, 1) || !inside(group.inode_bitmap, 1) || !inside(group.inode_table, table) {
        let problem = "a bitmap or the inode table is outside the filesystem";
        return Err(damaged(format!("descriptor of group {number}"), at, problem));
    }
    Ok(())
}

/// The block with the `index`th block of primary descriptors.
fn descriptor_block(superblock: &Superblock, index: u64) -> u64 {
    // With blocks of 1 KiB, the superblock is block 1, even if bigalloc makes groups start at block 0.
    let primary = super::superblock::SUPERBLOCK_AT / superblock.block_size;
    if !superblock.has_incompatible(incompatible::META_BG) || index < u64::from(superblock.first_meta_group) {
        return primary + 1 + index;
    }
    // The descriptors of a meta group are in its first group, after the backup superblock if there is one.
    let group = index * superblock.descriptors_per_block();
    let group = u32::try_from(group).unwrap_or(u32::MAX);
    let start = if group == 0 { primary } else { superblock.group_start(group) };
    start + u64::from(has_superblock(superblock, group))
}

/// Offset of a group's primary descriptor in bytes.
pub(super) fn descriptor_place(superblock: &Superblock, group: u32) -> u64 {
    let per_block = superblock.descriptors_per_block();
    let block = descriptor_block(superblock, u64::from(group) / per_block);
    block * superblock.block_size + u64::from(group) % per_block * superblock.descriptor_size as u64
}

/// Whether a group starts with a copy of the superblock and, without `meta_bg`, of all descriptors.
pub(super) fn has_superblock(superblock: &Superblock, group: u32) -> bool {
    if group == 0 {
        return true;
    }
    if superblock.has_compatible(compatible::SPARSE_SUPER2) {
        return superblock.backup_groups.contains(&group);
    }
    !superblock.has_read_only(read_only::SPARSE_SUPER) || is_sparse_backup(group)
}

/// The ranges of blocks at a group's start: superblock, descriptors, and blocks reserved for more descriptors.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub superblock: Range<u64>,
    pub descriptors: Range<u64>,
    /// Number of the first group whose descriptor is in `descriptors`.
    pub first_described: u64,
    pub reserved: Range<u64>,
}

impl Head {
    pub(super) fn is_empty(&self) -> bool {
        self.superblock.is_empty() && self.descriptors.is_empty()
    }
}

pub(super) fn head(superblock: &Superblock, group: u32) -> Head {
    let mut start = superblock.group_start(group);
    if group == 0 {
        start = super::superblock::SUPERBLOCK_AT / superblock.block_size;
    }
    let copy = u64::from(has_superblock(superblock, group));
    let after = start + copy;
    let per_block = superblock.descriptors_per_block();
    let meta_group = u64::from(group) / per_block;
    let is_meta = superblock.has_incompatible(incompatible::META_BG);
    let (first_described, descriptors, reserved) =
        if is_meta && meta_group >= u64::from(superblock.first_meta_group) {
            let place = u64::from(group) % per_block;
            (meta_group * per_block, u64::from(place <= 1 || place == per_block - 1), 0)
        } else if copy == 0 {
            (0, 0, 0)
        } else if is_meta {
            (0, u64::from(superblock.first_meta_group), 0)
        } else {
            (0, u64::from(superblock.groups).div_ceil(per_block), superblock.reserved_descriptor_blocks)
        };
    let end = superblock.blocks;
    let range = |from: u64, length: u64| from.min(end)..from.saturating_add(length).min(end);
    Head {
        superblock: range(start, copy),
        descriptors: range(after, descriptors),
        first_described,
        reserved: range(after + descriptors, reserved),
    }
}
