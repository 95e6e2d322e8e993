//! The main steps: read the empty filesystem, place inodes, fill them node by node, write headers and counters.

use super::super::format::CHUNK;
use super::super::header::{put, seal_crc};
use super::super::superblock::{
    CRC_OFFSET, FREE_BLOCKS_OFFSET, FREE_INODES_OFFSET, INODE_COUNT_OFFSET, Superblock, VERSION_ATTRIBUTES,
    VERSION_OFFSET,
};
use super::super::view::{Name, View};
use super::WriteError;
use super::base::{BaseImage, OWN_INODES, first_chunk};
use super::fork::Fork;
use super::groups::{FullChunk, GroupWriter, further_inode_blocks};
use super::inode::{Core, Inodes};
use super::space::Space;
use crate::disk::fill::Fill;
use crate::disk::scan::Scan;
use crate::disk::tree::{Body, NodeId, ROOT, Time, mode};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Writes a tree into the filesystem that mkfs.xfs has just made in `image`, a sparse file.
///
/// Timestamps that the filesystem cannot store are clamped. Equal trees, files and empty filesystems result in equal
/// bytes, independent of the clock that mkfs.xfs used.
pub fn fill(image: &File, scan: &Scan, fill: &Fill) -> Result<(), WriteError> {
    let base = BaseImage::read(image)?;
    let have = base.space.usable();
    let rehearsed = Filler::new(&base, scan, *fill, Output { image: None }).run()?;
    if rehearsed.missing > 0 {
        let log = base.superblock.block_log;
        return Err(WriteError::Full { need: (have + rehearsed.missing) << log, have: have << log });
    }
    Filler::new(&base, scan, *fill, Output { image: Some(image) }).run()?;
    Ok(())
}

/// The output; a dry run writes nothing.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    image: Option<&'a File>,
}

impl Output<'_> {
    pub(super) fn is_rehearsal(&self) -> bool {
        self.image.is_none()
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> Result<(), WriteError> {
        let Some(image) = self.image else { return Ok(()) };
        image.write_all_at(bytes, at).map_err(|error| WriteError::Image { at, error })
    }
}

/// One pass over the tree.
pub(super) struct Filler<'a> {
    pub(super) superblock: &'a Superblock,
    pub(super) scan: &'a Scan,
    pub(super) output: Output<'a>,
    pub(super) space: Space,
    /// Inode numbers, by node.
    pub(super) numbers: Vec<u64>,
    /// Parent directories, by node.
    pub(super) parents: Vec<NodeId>,
    pub(super) has_attributes: bool,
    base: &'a BaseImage,
    fill: Fill,
    /// By group.
    chunks: Vec<Vec<FullChunk>>,
    /// By group: the blocks of the inode btree except its root.
    inode_blocks: Vec<Vec<u32>>,
}

impl<'a> Filler<'a> {
    fn new(base: &'a BaseImage, scan: &'a Scan, fill: Fill, output: Output<'a>) -> Self {
        let groups = base.groups.len();
        let mut parents = vec![ROOT; scan.tree.nodes.len()];
        for (id, node) in scan.tree.nodes.iter().enumerate() {
            if let Body::Directory(entries) = &node.body {
                entries.values().for_each(|child| parents[*child] = id);
            }
        }
        Self {
            superblock: &base.superblock,
            scan,
            output,
            space: base.space.clone(),
            numbers: Vec::with_capacity(scan.tree.nodes.len()),
            parents,
            has_attributes: false,
            base,
            fill,
            chunks: vec![Vec::new(); groups],
            inode_blocks: vec![Vec::new(); groups],
        }
    }

    fn run(mut self) -> Result<Space, WriteError> {
        let firsts = self.place_inodes();
        self.numbers = (0..self.scan.tree.nodes.len()).map(|id| number(&firsts, slot(id))).collect();
        for (chunk, first) in firsts.iter().enumerate() {
            self.fill_chunk(chunk as u64 * CHUNK, *first)?;
        }
        for group in &self.base.groups {
            GroupWriter {
                superblock: self.superblock,
                output: self.output,
                group,
                chunks: &self.chunks[group.number as usize],
                inode_blocks: &self.inode_blocks[group.number as usize],
            }
            .write(&self.space)?;
        }
        self.write_superblock(firsts.len() as u64 * CHUNK)?;
        Ok(self.space)
    }

    /// Places all inode chunks and their btrees. Returns the chunks' first inode numbers in the order of use.
    fn place_inodes(&mut self) -> Vec<u64> {
        let slots = slot(self.scan.tree.nodes.len().max(1) - 1) + 1;
        let wanted = usize::try_from(slots.max(OWN_INODES).div_ceil(CHUNK)).expect("not more than nodes");
        self.chunks[0].push(first_chunk(self.superblock));
        let mut firsts = vec![self.superblock.root];
        let blocks = u32::try_from(CHUNK >> self.superblock.inodes_log()).expect("at most 64 blocks");
        for group in 0..self.superblock.groups {
            while firsts.len() < wanted {
                let alignment = self.superblock.inode_alignment;
                let Some(start) = self.space.take_aligned(group, blocks, alignment) else { break };
                let in_group = u64::from(start) << self.superblock.inodes_log();
                let first = self.superblock.inode_number(group, in_group);
                self.chunks[group as usize].push(FullChunk { first, free: 0 });
                firsts.push(first);
            }
            self.place_inode_btree(group);
        }
        while firsts.len() < wanted {
            // Only in a dry run, when the filesystem is too small.
            self.space.missing += u64::from(blocks);
            firsts.push(u64::MAX - CHUNK);
        }
        self.mark_free(*firsts.last().expect("mkfs.xfs made the first chunk"), slots);
        firsts
    }

    fn place_inode_btree(&mut self, group: u32) {
        self.chunks[group as usize].sort_by_key(|chunk| chunk.first);
        let blocks = further_inode_blocks(self.chunks[group as usize].len(), self.superblock.block());
        for _ in 0..blocks {
            match self.space.take_in(group) {
                Some(block) => self.inode_blocks[group as usize].push(block),
                None => self.space.missing += 1,
            }
        }
        // In a dry run that has already failed, this may be shorter.
        self.inode_blocks[group as usize].resize(blocks, 0);
    }

    /// Marks the inodes after the last node as free; `last` is the first inode of the last chunk.
    fn mark_free(&mut self, last: u64, slots: u64) {
        let used = slots.max(OWN_INODES) % CHUNK;
        let chunk = self.chunks.iter_mut().flatten().find(|chunk| chunk.first == last);
        // In a dry run that has already failed, there is no such chunk.
        if let (Some(chunk), true) = (chunk, used > 0) {
            chunk.free = u64::MAX << used;
        }
    }

    /// Writes the inodes of the slots from `start` on.
    fn fill_chunk(&mut self, start: u64, first: u64) -> Result<(), WriteError> {
        let inodes = Inodes { superblock: self.superblock, seed: self.fill.seed };
        let mut bytes = Vec::with_capacity(self.superblock.inode() * CHUNK as usize);
        for slot in start..start + CHUNK {
            let number = first + (slot - start);
            bytes.extend(match owner(slot) {
                Owner::Realtime(which) => {
                    inodes.used(number, &self.realtime(which)).expect("an empty file has no extents")
                }
                Owner::Node(id) if id < self.scan.tree.nodes.len() => inodes
                    .used(number, &self.core(id)?)
                    .map_err(|problem| WriteError::Node { path: self.path(id), problem: problem.into() })?,
                Owner::Node(_) => inodes.free(number),
            });
        }
        match self.superblock.inode_byte(first) {
            Some(at) => self.output.write(&bytes, at),
            None => Ok(()),
        }
    }

    /// The realtime bitmap or summary: an empty file, since there is no realtime device.
    fn realtime(&self, which: usize) -> Core {
        let epoch = Time { seconds: self.fill.epoch, nanoseconds: 0 };
        Core {
            mode: mode::FILE,
            uid: 0,
            gid: 0,
            links: 1,
            size: 0,
            accessed: epoch,
            modified: epoch,
            changed: epoch,
            created: epoch,
            flags: self.base.realtime_flags[which],
            data: Fork::empty(),
            attributes: None,
        }
    }

    fn write_superblock(&self, inodes: u64) -> Result<(), WriteError> {
        let free_inodes: u32 = self.chunks.iter().flatten().map(|chunk| chunk.free.count_ones()).sum();
        let taken = self.base.space.free() - self.space.free();
        let mut sector = self.base.sector.clone();
        let view = View { bytes: &sector, name: Name { kind: "superblock", number: 0 }, at: 0 };
        let (free_blocks, version) = (view.u64(FREE_BLOCKS_OFFSET)?, view.u16(VERSION_OFFSET)?);
        put(&mut sector, INODE_COUNT_OFFSET, &inodes.to_be_bytes());
        put(&mut sector, FREE_INODES_OFFSET, &u64::from(free_inodes).to_be_bytes());
        put(&mut sector, FREE_BLOCKS_OFFSET, &free_blocks.saturating_sub(taken).to_be_bytes());
        if self.has_attributes {
            put(&mut sector, VERSION_OFFSET, &(version | VERSION_ATTRIBUTES).to_be_bytes());
        }
        seal_crc(&mut sector, CRC_OFFSET);
        // Neither the kernel nor mkfs.xfs updates these fields in the backup superblocks.
        self.output.write(&sector, 0)
    }

    pub(super) fn path(&self, id: NodeId) -> PathBuf {
        self.scan.paths.get(id).cloned().unwrap_or_default()
    }
}

/// What an inode is used for, by its position in the order of all inodes.
enum Owner {
    Realtime(usize),
    Node(NodeId),
}

/// The root comes first, then bitmap and summary, then all other nodes.
fn owner(slot: u64) -> Owner {
    match slot {
        1 => Owner::Realtime(0),
        2 => Owner::Realtime(1),
        0 => Owner::Node(ROOT),
        _ => Owner::Node(usize::try_from(slot - (OWN_INODES - 1)).expect("not more than nodes")),
    }
}

fn slot(id: NodeId) -> u64 {
    if id == ROOT { 0 } else { id as u64 + OWN_INODES - 1 }
}

fn number(firsts: &[u64], slot: u64) -> u64 {
    firsts[usize::try_from(slot / CHUNK).expect("not more than chunks")] + slot % CHUNK
}
