//! The blocks of a file: extent trees, and block maps with up to three levels of indirection.
//!
//! Source: kernel, `Documentation/filesystems/ext4/dynamic.rst`, `ifork.rst` and `blockmap.rst`.

use super::inode::{Inode, flag};
use super::reader::Ext;
use crate::disk::bytes::{damaged, joined, read, u16_at, u32_at};
use crate::disk::source::ReadError;
use std::ops::Range;

const EXTENT_MAGIC: u16 = 0xf30a;
/// Size of a node's header, and of each entry, in bytes.
const ENTRY: usize = 12;
/// Five levels map 2^32 blocks even with blocks of 1 KiB.
const DEEPEST: u16 = 5;
/// A longer extent is allocated but unwritten, and reads as zeros.
const LONGEST_WRITTEN: u16 = 32_768;
/// Direct addresses in a block map. They are followed by one address for each level of indirection.
const DIRECT: usize = 12;
const LEVELS: u32 = 3;
/// Upper bound for the number of blocks of a file.
const LOGICAL_END: u64 = 1 << 32;

/// Blocks that are contiguous in the file and on the disk. All numbers are in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockRun {
    /// Block number in the file.
    pub at: u64,
    /// Block number in the filesystem.
    pub from: u64,
    pub length: u64,
    pub unwritten: bool,
}

#[derive(Debug, Default)]
pub(super) struct Mapping {
    /// In the order of the file, without overlaps.
    pub runs: Vec<BlockRun>,
    /// Blocks that hold the map itself.
    pub nodes: Vec<u64>,
}

/// Limits how much metadata a walk may read and keep. Without it, blocks that are referenced many times could make a
/// walk endless or its result larger than the filesystem.
#[derive(Debug)]
pub(super) struct Budget {
    /// Blocks that may still be read: those of the filesystem, and one for each inode, since inodes may share an
    /// attribute block.
    blocks: u64,
    /// Bytes of attributes and link targets that may still be kept: the size of the filesystem.
    bytes: u64,
}

impl Budget {
    pub(super) fn of(ext: &Ext) -> Budget {
        let superblock = &ext.superblock;
        Budget {
            blocks: superblock.blocks + u64::from(superblock.groups) * u64::from(superblock.group_inodes),
            bytes: superblock.blocks * superblock.block_size,
        }
    }

    pub(super) fn spend(&mut self, blocks: u64, at: u64) -> Result<(), ReadError> {
        let problem = "metadata takes more blocks than the filesystem has";
        self.blocks = self.blocks.checked_sub(blocks).ok_or_else(|| damaged("filesystem", at, problem))?;
        Ok(())
    }

    pub(super) fn keep(&mut self, bytes: u64, at: u64) -> Result<(), ReadError> {
        let problem = "attributes and link targets are larger than the filesystem";
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| damaged("filesystem", at, problem))?;
        Ok(())
    }
}

/// The blocks of an inode that has any; not for short links, devices and inline data.
pub(super) fn mapping(ext: &Ext, inode: &Inode, budget: &mut Budget) -> Result<Mapping, ReadError> {
    let mut walk = ExtentWalk { ext, inode, budget, found: Mapping::default(), end: 0 };
    if inode.has_flag(flag::EXTENTS) {
        walk.extents(inode.map(), inode.at, None, 0..LOGICAL_END)?;
    } else {
        walk.block_map()?;
    }
    Ok(walk.found)
}

struct ExtentWalk<'w, 'a> {
    ext: &'w Ext<'a>,
    inode: &'w Inode,
    budget: &'w mut Budget,
    found: Mapping,
    /// Block number in the file after the last run.
    end: u64,
}

impl ExtentWalk<'_, '_> {
    fn damaged(&self, at: u64, problem: String) -> ReadError {
        damaged(format!("block map of inode {}", self.inode.number), at, problem)
    }

    fn node(&mut self, block: u64, at: u64) -> Result<Vec<u8>, ReadError> {
        self.inside(block, 1, at)?;
        let size = self.ext.superblock.block_size;
        self.budget.spend(1, at)?;
        self.found.nodes.push(block);
        read(self.ext.source, block * size, size as usize)
    }

    fn inside(&self, block: u64, length: u64, at: u64) -> Result<(), ReadError> {
        let superblock = &self.ext.superblock;
        let end = block.checked_add(length);
        if block <= superblock.first_block || end.is_none_or(|end| end > superblock.blocks) {
            return Err(
                self.damaged(at, format!("{length} blocks at block {block} are outside the filesystem"))
            );
        }
        Ok(())
    }

    /// Adds a run, or extends the last one.
    fn push(&mut self, run: BlockRun, at: u64) -> Result<(), ReadError> {
        self.inside(run.from, run.length, at)?;
        let end = run.at + run.length;
        if run.at < self.end || end > LOGICAL_END {
            return Err(self.damaged(at, format!("block {} of the file is out of order", run.at)));
        }
        self.end = end;
        match self.found.runs.last_mut() {
            Some(last)
                if last.at + last.length == run.at
                    && last.from + last.length == run.from
                    && last.unwritten == run.unwritten =>
            {
                last.length += run.length;
            }
            _ => self.found.runs.push(run),
        }
        Ok(())
    }

    /// Reads a node of an extent tree. Its blocks of the file must be inside `range`.
    fn extents(
        &mut self,
        node: &[u8],
        at: u64,
        expected_depth: Option<u16>,
        range: Range<u64>,
    ) -> Result<(), ReadError> {
        let (magic, entries, depth) = (u16_at(node, 0), usize::from(u16_at(node, 2)), u16_at(node, 6));
        let fits = (entries + 1) * ENTRY <= node.len();
        if magic != EXTENT_MAGIC
            || !fits
            || depth > DEEPEST
            || expected_depth.is_some_and(|expected| expected != depth)
        {
            let problem = format!("extent node: magic {magic:#x}, {entries} entries, depth {depth}");
            return Err(self.damaged(at, problem));
        }
        for index in 1..=entries {
            let entry = &node[index * ENTRY..(index + 1) * ENTRY];
            let first = u64::from(u32_at(entry, 0));
            if first < range.start || first >= range.end {
                return Err(self.damaged(at, format!("extent entry {index} does not match its parent")));
            }
            if depth == 0 {
                let length = u16_at(entry, 4);
                let unwritten = length > LONGEST_WRITTEN;
                let length = u64::from(if unwritten { length - LONGEST_WRITTEN } else { length });
                let from = joined(u32_at(entry, 8), u32::from(u16_at(entry, 6)));
                if length == 0 || first + length > range.end {
                    return Err(self.damaged(at, format!("extent {index} has {length} blocks")));
                }
                self.push(BlockRun { at: first, from, length, unwritten }, at)?;
            } else {
                let next = (index < entries).then(|| u64::from(u32_at(node, (index + 1) * ENTRY)));
                let end = next.unwrap_or(range.end).min(range.end);
                let block = joined(u32_at(entry, 4), u32::from(u16_at(entry, 8)));
                let child = self.node(block, at)?;
                let child_at = block * self.ext.superblock.block_size;
                self.extents(&child, child_at, Some(depth - 1), first..end)?;
            }
        }
        Ok(())
    }

    fn block_map(&mut self) -> Result<(), ReadError> {
        let addresses = self.inode.map().to_vec();
        let mut logical = 0;
        for slot in 0..DIRECT + LEVELS as usize {
            let level = slot.saturating_sub(DIRECT - 1) as u32;
            let address = u64::from(u32_at(&addresses, slot * 4));
            self.address(address, level, logical, self.inode.at)?;
            logical += self.span(level);
        }
        Ok(())
    }

    /// The number of blocks of the file that an address of this level covers.
    fn span(&self, level: u32) -> u64 {
        (self.ext.superblock.block_size / 4).pow(level)
    }

    fn address(&mut self, block: u64, level: u32, logical: u64, at: u64) -> Result<(), ReadError> {
        if block == 0 {
            return Ok(());
        }
        if level == 0 {
            return self.push(BlockRun { at: logical, from: block, length: 1, unwritten: false }, at);
        }
        let node = self.node(block, at)?;
        let node_at = block * self.ext.superblock.block_size;
        let span = self.span(level - 1);
        for (index, address) in node.chunks_exact(4).enumerate() {
            self.address(u64::from(u32_at(address, 0)), level - 1, logical + index as u64 * span, node_at)?;
        }
        Ok(())
    }
}
