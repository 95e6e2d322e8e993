//! Writes a group's headers and btrees after everything is placed.
//!
//! Source: struct xfs_agf, xfs_agi, xfs_inobt_rec and xfs_alloc_rec in xfs_format.h.

use super::super::format::{
    CHUNK, FREE_BY_LENGTH_MAGIC, FREE_BY_START_MAGIC, FREE_INODES_MAGIC, INODES_MAGIC, incompat, ro_compat,
};
use super::super::header::{HeaderOffsets, put, seal_crc};
use super::super::reader::{AGF_CRC, AGI_CRC, Group};
use super::super::superblock::Superblock;
use super::super::view::View;
use super::fill::Output;
use super::pages::{Push, shares, short, word};
use super::{WriteError, space::Space};
use std::ops::Range;

const BLOCK_HEADER: usize = 56;
const FREE_RECORD: usize = 8;
const INODE_RECORD: usize = 16;
/// A key of 4 bytes, a pointer of 4 bytes.
const INODE_ENTRY: usize = 8;
/// No sibling: `NULLAGBLOCK`.
const NONE: u32 = u32::MAX;

/// Offsets of header fields.
const AGF_BY_START: usize = 16;
const AGF_BY_LENGTH: usize = 20;
const AGF_FREE: usize = 52;
const AGF_LONGEST: usize = 56;
const AGI_COUNT: usize = 16;
const AGI_ROOT: usize = 20;
const AGI_LEVEL: usize = 24;
const AGI_FREE_COUNT: usize = 28;
const AGI_NEWEST: usize = 32;
const AGI_FREE_ROOT: usize = 328;
const AGI_BLOCKS: usize = 336;

/// 64 inodes that all exist.
#[derive(Clone, Copy)]
pub(super) struct FullChunk {
    /// Number of the first inode.
    pub first: u64,
    /// One bit for each inode, set if it is free.
    pub free: u64,
}

/// The number of blocks, besides the root, of a btree with this many inode chunks.
pub(super) fn further_inode_blocks(chunks: usize, block: usize) -> usize {
    let mut row = chunks.div_ceil((block - BLOCK_HEADER) / INODE_RECORD);
    let mut blocks = 0;
    while row > 1 {
        blocks += row;
        row = row.div_ceil((block - BLOCK_HEADER) / INODE_ENTRY);
    }
    blocks
}

/// Writes one group's headers and btrees.
pub(super) struct GroupWriter<'a> {
    pub superblock: &'a Superblock,
    pub output: Output<'a>,
    /// The group as made by mkfs.xfs; btree roots keep their locations.
    pub group: &'a Group,
    /// Sorted.
    pub chunks: &'a [FullChunk],
    /// As many as [`further_inode_blocks`] returns.
    pub inode_blocks: &'a [u32],
}

impl GroupWriter<'_> {
    pub(super) fn write(&self, space: &Space) -> Result<(), WriteError> {
        self.free_space(space.ranges(self.group.number))?;
        self.inodes()
    }

    fn free_space(&self, free: &[Range<u32>]) -> Result<(), WriteError> {
        if free.len() > (self.superblock.block() - BLOCK_HEADER) / FREE_RECORD {
            return Err(WriteError::NotEmpty(format!(
                "group {} has {} free ranges",
                self.group.number,
                free.len()
            )));
        }
        let mut agf = self.group.agf.clone();
        let roots = View { bytes: &agf, ..self.view() };
        let (by_start, by_length) = (roots.u32(AGF_BY_START)?, roots.u32(AGF_BY_LENGTH)?);
        let mut records: Vec<_> = free.iter().map(|range| (range.start, range.end - range.start)).collect();
        self.leaf(FREE_BY_START_MAGIC.0, by_start, &records)?;
        records.sort_by_key(|(start, count)| (*count, *start));
        self.leaf(FREE_BY_LENGTH_MAGIC.0, by_length, &records)?;
        let total: u32 = records.iter().map(|(_, count)| count).sum();
        let longest = records.last().map_or(0, |(_, count)| *count);
        put(&mut agf, AGF_FREE, &total.to_be_bytes());
        put(&mut agf, AGF_LONGEST, &longest.to_be_bytes());
        seal_crc(&mut agf, AGF_CRC);
        self.output.write(&agf, Group::agf_byte(self.superblock, self.group.number))
    }

    fn leaf(&self, magic: u32, block: u32, records: &[(u32, u32)]) -> Result<(), WriteError> {
        let mut content = Vec::new();
        for (first, second) in records {
            content.u32(*first);
            content.u32(*second);
        }
        self.block(block, Row { magic, level: 0, count: records.len(), left: NONE, right: NONE }, &content)
    }

    fn inodes(&self) -> Result<(), WriteError> {
        let mut agi = self.group.agi.clone();
        let view = View { bytes: &self.group.agi, ..self.view() };
        let level = self.inode_tree(view.u32(AGI_ROOT)?)?;
        let free: u32 = self.chunks.iter().map(|chunk| chunk.free.count_ones()).sum();
        put(&mut agi, AGI_COUNT, &(word(self.chunks.len()) * CHUNK as u32).to_be_bytes());
        put(&mut agi, AGI_LEVEL, &u32::from(level).to_be_bytes());
        put(&mut agi, AGI_FREE_COUNT, &free.to_be_bytes());
        let newest = self.chunks.last().map_or(NONE, |chunk| self.in_group(chunk.first));
        put(&mut agi, AGI_NEWEST, &newest.to_be_bytes());
        if self.superblock.has(ro_compat::FINOBT) {
            let content: Vec<u8> = self
                .chunks
                .iter()
                .filter(|chunk| chunk.free != 0)
                .flat_map(|chunk| self.record(chunk))
                .collect();
            let count = content.len() / INODE_RECORD;
            let row = Row { magic: FREE_INODES_MAGIC.0, level: 0, count, left: NONE, right: NONE };
            self.block(view.u32(AGI_FREE_ROOT)?, row, &content)?;
        }
        if self.superblock.has(ro_compat::INOBTCOUNT) {
            put(&mut agi, AGI_BLOCKS, &word(1 + self.inode_blocks.len()).to_be_bytes());
        }
        seal_crc(&mut agi, AGI_CRC);
        self.output.write(&agi, Group::agi_byte(self.superblock, self.group.number))
    }

    /// Writes the btree of all inodes, and returns the number of its levels.
    fn inode_tree(&self, root: u32) -> Result<u16, WriteError> {
        let room = |entry| (self.superblock.block() - BLOCK_HEADER) / entry;
        // (key, record or pointer) of the level below.
        let mut below: Vec<(u32, Vec<u8>)> =
            self.chunks.iter().map(|chunk| (self.in_group(chunk.first), self.record(chunk))).collect();
        let mut blocks = self.inode_blocks.iter().copied();
        let mut level = 0;
        loop {
            let each = room(if level == 0 { INODE_RECORD } else { INODE_ENTRY });
            let parts: Vec<_> = shares(below.len(), each).collect();
            let numbers: Vec<u32> =
                if parts.len() == 1 { vec![root] } else { blocks.by_ref().take(parts.len()).collect() };
            let mut rest = &below[..];
            let mut row = Vec::new();
            for (index, (part, number)) in parts.iter().zip(&numbers).enumerate() {
                let (these, others) = rest.split_at(*part);
                rest = others;
                let place = Row {
                    magic: INODES_MAGIC.0,
                    level,
                    count: *part,
                    left: index.checked_sub(1).map_or(NONE, |before| numbers[before]),
                    right: numbers.get(index + 1).copied().unwrap_or(NONE),
                };
                self.block(*number, place, &content(these, level, each))?;
                row.push((these.first().map_or(0, |(key, _)| *key), number.to_be_bytes().to_vec()));
            }
            level += 1;
            if parts.len() == 1 {
                return Ok(level);
            }
            below = row;
        }
    }

    fn record(&self, chunk: &FullChunk) -> Vec<u8> {
        let mut record = Vec::with_capacity(INODE_RECORD);
        let free = chunk.free.count_ones();
        record.u32(self.in_group(chunk.first));
        if self.superblock.incompat & incompat::SPARSE_INODES != 0 {
            // Record: no missing inodes, the number of inodes, and the number of free ones.
            record.u16(0);
            record.push(CHUNK as u8);
            record.push(free as u8);
        } else {
            record.u32(free);
        }
        record.u64(chunk.free);
        record
    }

    /// An inode number relative to its group.
    fn in_group(&self, number: u64) -> u32 {
        let base = self.superblock.inode_number(self.group.number, 0);
        u32::try_from(number - base).expect("inodes of a group have 32 bits")
    }

    fn block(&self, number: u32, row: Row, content: &[u8]) -> Result<(), WriteError> {
        let at =
            self.superblock.group_byte(self.group.number) + (u64::from(number) << self.superblock.block_log);
        let mut bytes = Vec::with_capacity(self.superblock.block());
        bytes.u32(row.magic);
        bytes.u16(row.level);
        bytes.u16(short(row.count));
        bytes.u32(row.left);
        bytes.u32(row.right);
        bytes.resize(BLOCK_HEADER, 0);
        bytes.extend(content);
        bytes.resize(self.superblock.block(), 0);
        let uuid = self.superblock.metadata_uuid;
        HeaderOffsets::SHORT_BTREE.seal(&mut bytes, Superblock::daddr(at), self.group.number.into(), uuid);
        self.output.write(&bytes, at)
    }

    fn view(&self) -> View<'static> {
        let name = super::super::view::Name { kind: "headers of group", number: self.group.number.into() };
        View { bytes: &[], name, at: self.superblock.group_byte(self.group.number) }
    }
}

/// The position of a btree block in its level.
struct Row {
    magic: u32,
    level: u16,
    count: usize,
    left: u32,
    right: u32,
}

/// Records; or keys, padded to `room` keys, followed by the pointers.
fn content(entries: &[(u32, Vec<u8>)], level: u16, room: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if level > 0 {
        entries.iter().for_each(|(key, _)| bytes.u32(*key));
        bytes.resize(room * 4, 0);
    }
    entries.iter().for_each(|(_, bytes_of)| bytes.extend(bytes_of));
    bytes
}
