//! Builds a fork from runs of blocks: a list of extents in the inode, or a btree.

use super::super::format::{EXTENT_RECORD, EXTENTS_MAGIC, MAX_EXTENT, fork};
use super::super::header::HeaderOffsets;
use super::pages::{Page, Push, shares, short};
use super::space::FreeRun;

/// Sizes in bytes of a btree block's header, and of a key with its pointer.
const BLOCK_HEADER: usize = 72;
const ROOT_HEADER: usize = 4;
const ENTRY: usize = 16;
/// No sibling: `NULLFSBLOCK`.
const NONE: u64 = u64::MAX;

/// A fork in its on-disk form.
#[derive(Default)]
pub(super) struct Fork {
    pub format: u8,
    pub bytes: Vec<u8>,
    pub extents: u64,
    /// Number of blocks outside the inode, including those of its btree.
    pub blocks: u64,
}

impl Fork {
    /// A fork without data.
    pub(super) fn empty() -> Self {
        Self { format: fork::EXTENTS, ..Self::default() }
    }

    pub(super) fn local(bytes: Vec<u8>) -> Self {
        Self { format: fork::LOCAL, bytes, ..Self::default() }
    }

    pub(super) fn device(bytes: [u8; 4]) -> Self {
        Self { format: fork::DEVICE, bytes: bytes.to_vec(), ..Self::default() }
    }
}

/// The number of btree blocks for `extents`, if the inode has `room` bytes for the fork.
pub(super) fn btree_blocks(extents: usize, room: usize, block: usize) -> usize {
    if extents * EXTENT_RECORD <= room {
        return 0;
    }
    let each = (block - BLOCK_HEADER) / ENTRY;
    let mut row = extents.div_ceil(each);
    let mut blocks = row;
    while row > root_room(room) {
        row = row.div_ceil(each);
        blocks += row;
    }
    blocks
}

fn root_room(room: usize) -> usize {
    (room - ROOT_HEADER) / ENTRY
}

/// Splits runs that are longer than the longest extent.
pub(super) fn split(runs: Vec<FreeRun>) -> Vec<FreeRun> {
    let pieces = |run: FreeRun| {
        (0..run.count.div_ceil(MAX_EXTENT)).map(move |piece| {
            let done = piece * MAX_EXTENT;
            FreeRun {
                offset: run.offset + done,
                start: run.start + done,
                count: (run.count - done).min(MAX_EXTENT),
            }
        })
    };
    runs.into_iter().flat_map(pieces).collect()
}

fn push_record(bytes: &mut Vec<u8>, run: &FreeRun) {
    bytes.u64(run.offset << 9 | run.start >> 43);
    bytes.u64(run.start << 21 | run.count);
}

/// Builds a fork from extents. `blocks` are the block numbers for the returned pages, in the same order;
/// [`btree_blocks`] returns their number.
pub(super) fn build(runs: &[FreeRun], room: usize, block: usize, blocks: &[u64]) -> (Fork, Vec<Page>) {
    let mut fork = Fork {
        format: fork::EXTENTS,
        bytes: Vec::new(),
        extents: runs.len() as u64,
        blocks: runs.iter().map(|run| run.count).sum::<u64>() + blocks.len() as u64,
    };
    if blocks.is_empty() {
        runs.iter().for_each(|run| push_record(&mut fork.bytes, run));
        return (fork, Vec::new());
    }
    fork.format = fork::BTREE;
    let each = (block - BLOCK_HEADER) / ENTRY;
    let mut tree = ForkTree { block, blocks, pages: Vec::new() };
    let mut rest = runs;
    let leaves = shares(runs.len(), each).map(|share| {
        let (these, others) = rest.split_at(share);
        rest = others;
        let mut records = Vec::new();
        these.iter().for_each(|run| push_record(&mut records, run));
        (these[0].offset, share, records)
    });
    let mut row = tree.add_row(0, leaves.collect());
    let mut level = 1;
    while row.len() > root_room(room) {
        let mut rest = &row[..];
        let nodes = shares(row.len(), each).map(|share| {
            let (these, others) = rest.split_at(share);
            rest = others;
            (these[0].0, share, entries(these, each))
        });
        row = tree.add_row(level, nodes.collect());
        level += 1;
    }
    fork.bytes.u16(level);
    fork.bytes.u16(short(row.len()));
    fork.bytes.extend(entries(&row, root_room(room)));
    (fork, tree.pages)
}

/// Keys, padded to `room` keys, followed by the pointers.
fn entries(children: &[(u64, u64)], room: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    children.iter().for_each(|(key, _)| bytes.u64(*key));
    bytes.resize(room * 8, 0);
    children.iter().for_each(|(_, pointer)| bytes.u64(*pointer));
    bytes
}

struct ForkTree<'a> {
    block: usize,
    blocks: &'a [u64],
    pages: Vec<Page>,
}

impl ForkTree<'_> {
    /// Adds the blocks of one level. `row`: for each block the first key, the number of entries, and their bytes.
    /// Returns (key, block).
    fn add_row(&mut self, level: u16, row: Vec<(u64, usize, Vec<u8>)>) -> Vec<(u64, u64)> {
        let numbers = &self.blocks[self.pages.len()..][..row.len()];
        let mut placed = Vec::new();
        for (index, (key, count, content)) in row.into_iter().enumerate() {
            let mut bytes = EXTENTS_MAGIC.0.to_be_bytes().to_vec();
            bytes.u16(level);
            bytes.u16(short(count));
            bytes.u64(index.checked_sub(1).map_or(NONE, |before| numbers[before]));
            bytes.u64(numbers.get(index + 1).copied().unwrap_or(NONE));
            bytes.resize(BLOCK_HEADER, 0);
            bytes.extend(content);
            bytes.resize(self.block, 0);
            self.pages.push(Page { header: HeaderOffsets::LONG_BTREE, bytes });
            placed.push((key, numbers[index]));
        }
        placed
    }
}
