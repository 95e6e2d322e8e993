//! Chunk layout: how the device is divided into system, metadata and data chunks.
//!
//! Logical addresses are contiguous: the system chunk, then data, then metadata. With mixed block groups, data and
//! metadata share chunks, so both ranges are in the same ones. Chunks never overlap a superblock, so every address in a
//! chunk is usable.

use super::chunk::Chunk;
use super::format::{RESERVED, profile};
use super::superblock;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Alignment of chunk sizes and positions; stricter than the kernel requires.
pub(super) const ALIGNMENT: u64 = MIB;

/// The first logical address.
const FIRST: u64 = MIB;

/// The profiles that `mkfs.btrfs` chose, each combined with its type (see [`profile`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkFlags {
    pub system: u64,
    /// Includes [`profile::DATA`] if block groups are mixed.
    pub metadata: u64,
    pub data: u64,
}

impl ChunkFlags {
    pub(super) fn mixed(&self) -> bool {
        self.metadata & profile::DATA != 0
    }
}

/// The number of stripes of a chunk with these flags.
pub(super) fn copies(flags: u64) -> u64 {
    if flags & profile::DUP == 0 { 1 } else { 2 }
}

/// The number of bytes that must fit, each copy counted once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub system: u64,
    pub data: u64,
    pub metadata: u64,
}

/// How large chunks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkSizing {
    /// As large as the kernel would make them.
    Ample,
    /// As small as possible.
    Tight,
}

#[derive(Debug)]
pub(super) struct Layout {
    /// Sorted by logical address.
    pub chunks: Vec<Chunk>,
    /// Logical address of the first data.
    pub data: u64,
    /// Logical address of the first tree block.
    pub metadata: u64,
    /// Physical address of the first byte after all chunks.
    pub end: u64,
}

impl Layout {
    /// Logical address of the first block of the chunk tree.
    pub(super) fn system(&self) -> u64 {
        FIRST
    }

    /// Bytes on the device that are allocated to chunks.
    pub(super) fn allocated(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.length * chunk.copies.len() as u64).sum()
    }
}

/// Divides a device of `total` bytes, of which chunks may use those below `end`. `None` if the demand does not fit.
pub(super) fn lay_out(
    flags: &ChunkFlags,
    demand: &Demand,
    sizing: ChunkSizing,
    total: u64,
    end: u64,
) -> Option<Layout> {
    let mut plan = ChunkPlan { chunks: Vec::new(), next: FIRST, space: Space::new(end), sizing };
    let system = demand.system.max(match sizing {
        // The sizes of mkfs.btrfs.
        ChunkSizing::Ample => 4 * MIB * copies(flags.system),
        ChunkSizing::Tight => MIB,
    });
    plan.add(flags.system, system, system)?;
    let metadata = demand.metadata.checked_add(headroom(demand.metadata, sizing))?;
    let data = plan.next;
    let first_block = if flags.mixed() {
        plan.add(flags.metadata, demand.data.checked_add(metadata)?, data_chunk_size(total))?;
        data + demand.data
    } else {
        // A data chunk exists even without data, because its profile is that of the filesystem.
        plan.add(flags.data, demand.data.max(ALIGNMENT), data_chunk_size(total))?;
        let first_block = plan.next;
        plan.add(flags.metadata, metadata, metadata_chunk_size(total))?;
        first_block
    };
    let ends = plan.chunks.iter().flat_map(|chunk| chunk.copies.iter().map(|copy| copy + chunk.length));
    let end = ends.max().unwrap_or(RESERVED);
    Some(Layout { chunks: plan.chunks, data, metadata: first_block, end })
}

/// Bytes to keep free for tree blocks: a running system writes a new copy of each block before it frees the old one.
fn headroom(metadata: u64, sizing: ChunkSizing) -> u64 {
    match sizing {
        ChunkSizing::Ample => (metadata / 8).max(4 * MIB),
        ChunkSizing::Tight => metadata / 16 + 2 * MIB,
    }
}

/// Source: `init_alloc_chunk_ctl_policy_regular`; at most a tenth of the device.
fn data_chunk_size(total: u64) -> u64 {
    (total / 10).clamp(8 * MIB, GIB) / ALIGNMENT * ALIGNMENT
}

/// Source: `init_alloc_chunk_ctl_policy_regular`; the limit depends on the device size.
fn metadata_chunk_size(total: u64) -> u64 {
    let limit = if total > 50 * GIB { GIB } else { 256 * MIB };
    (total / 10).clamp(8 * MIB, limit) / ALIGNMENT * ALIGNMENT
}

struct ChunkPlan {
    chunks: Vec<Chunk>,
    /// The next free logical address.
    next: u64,
    space: Space,
    sizing: ChunkSizing,
}

impl ChunkPlan {
    /// Adds chunks of up to `size` bytes that together have space for `need` bytes.
    fn add(&mut self, flags: u64, need: u64, size: u64) -> Option<()> {
        let size = size.next_multiple_of(ALIGNMENT);
        let mut got = 0;
        while got < need {
            let wanted = match self.sizing {
                ChunkSizing::Ample => size,
                ChunkSizing::Tight => size.min((need - got).next_multiple_of(ALIGNMENT)),
            };
            let length = wanted.min(self.space.largest(copies(flags)));
            if length == 0 {
                return None;
            }
            let copies = (0..copies(flags)).map(|_| self.space.take(length)).collect::<Option<Vec<_>>>()?;
            self.chunks.push(Chunk { start: self.next, length, flags, copies });
            self.next += length;
            got += length;
        }
        Some(())
    }
}

/// The physical ranges that are not allocated to a chunk, sorted.
struct Space(Vec<std::ops::Range<u64>>);

impl Space {
    fn new(end: u64) -> Space {
        let mut ranges = Vec::new();
        let mut start = RESERVED;
        let mirrors = superblock::OFFSETS.into_iter().filter(|at| *at > RESERVED);
        for stop in mirrors.chain([end]) {
            let stop = stop.min(end) / ALIGNMENT * ALIGNMENT;
            if start < stop {
                ranges.push(start..stop);
            }
            start = stop + ALIGNMENT;
        }
        Space(ranges)
    }

    /// Length of the longest chunk with this many copies that still fits, in bytes.
    fn largest(&self, copies: u64) -> u64 {
        let mut lengths: Vec<u64> = self.0.iter().map(|range| range.end - range.start).collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        let first = lengths.first().copied().unwrap_or(0);
        let second = lengths.get(1).copied().unwrap_or(0);
        let halves = first / copies / ALIGNMENT * ALIGNMENT;
        if copies == 1 { first } else { halves.max(second) }
    }

    /// Allocates `length` bytes at the lowest possible position.
    fn take(&mut self, length: u64) -> Option<u64> {
        let range = self.0.iter_mut().find(|range| range.end - range.start >= length)?;
        let start = range.start;
        range.start += length;
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: ChunkFlags = ChunkFlags {
        system: profile::SYSTEM | profile::DUP,
        metadata: profile::METADATA | profile::DUP,
        data: profile::DATA,
    };

    fn check(demand: Demand, sizing: ChunkSizing, total: u64) -> Option<Layout> {
        let layout = lay_out(&DEFAULT, &demand, sizing, total, total)?;
        let mut stripes: Vec<_> = layout
            .chunks
            .iter()
            .flat_map(|chunk| chunk.copies.iter().map(|copy| *copy..copy + chunk.length))
            .collect();
        stripes.sort_by_key(|stripe| stripe.start);
        assert!(stripes.is_sorted_by(|one, next| one.end <= next.start), "stripes overlap: {stripes:?}");
        for at in superblock::OFFSETS {
            assert!(stripes.iter().all(|stripe| stripe.end <= at || stripe.start >= at + 65_536));
        }
        assert!(stripes.last().unwrap().end <= total);
        assert!(layout.chunks.is_sorted_by(|one, next| one.end() == next.start));
        Some(layout)
    }

    #[test]
    fn chunks_are_disjoint_and_avoid_the_superblocks() {
        for total in [109 * MIB, 300 * MIB, 4 * GIB, 600 * GIB] {
            let demand = Demand { system: 16_384, data: total / 2, metadata: 3 * MIB };
            check(demand, ChunkSizing::Tight, total).unwrap();
        }
        let demand = Demand { system: 16_384, data: 300 * GIB, metadata: 3 * GIB };
        let layout = check(demand, ChunkSizing::Ample, 600 * GIB).unwrap();
        assert_eq!(layout.chunks.iter().filter(|chunk| chunk.flags == profile::DATA).count(), 300);
    }

    #[test]
    fn too_large_demands_do_not_fit() {
        let demand = Demand { system: 16_384, data: 105 * MIB, metadata: MIB };
        assert!(check(demand, ChunkSizing::Tight, 109 * MIB).is_none());
    }
}
