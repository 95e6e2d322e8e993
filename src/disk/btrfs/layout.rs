//! Where chunks go: the rule by which the device is divided between system, metadata and data.
//!
//! Logical addresses are one run without gaps: the system chunk, then data, then metadata. With mixed block groups data and
//! metadata share chunks, so that both runs lie in the same ones. Chunks never lie on a superblock, so that no address in
//! one is forbidden.

use super::chunk::Chunk;
use super::format::{RESERVED, profile};
use super::superblock;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Sizes and places of chunks are multiples of this, which is more than the kernel asks for.
pub(super) const ALIGNMENT: u64 = MIB;

/// The first logical address.
const FIRST: u64 = MIB;

/// The profiles that `mkfs.btrfs` chose, each with the type (see [`profile`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkFlags {
    pub system: u64,
    /// With [`profile::DATA`] if block groups are mixed.
    pub metadata: u64,
    pub data: u64,
}

impl ChunkFlags {
    pub(super) fn mixed(&self) -> bool {
        self.metadata & profile::DATA != 0
    }
}

/// How many stripes a chunk with these flags has.
pub(super) fn copies(flags: u64) -> u64 {
    if flags & profile::DUP == 0 { 1 } else { 2 }
}

/// How many bytes must fit, each counted once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Demand {
    pub system: u64,
    pub data: u64,
    pub metadata: u64,
}

/// How generous chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkSizing {
    /// As large as the kernel would make them.
    Ample,
    /// As small as they can be.
    Tight,
}

#[derive(Debug)]
pub(super) struct Layout {
    /// By logical address.
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

    /// Bytes that chunks take on the device.
    pub(super) fn allocated(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.length * chunk.copies.len() as u64).sum()
    }
}

/// Divides a device of `total` bytes whose chunks may use those below `end`. `None` if the demand does not fit.
pub(super) fn lay_out(
    flags: &ChunkFlags,
    demand: &Demand,
    sizing: ChunkSizing,
    total: u64,
    end: u64,
) -> Option<Layout> {
    let mut plan = Plan { chunks: Vec::new(), next: FIRST, space: Space::new(end), sizing };
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
        // A first data chunk even without data: its profile is the filesystem's.
        plan.add(flags.data, demand.data.max(ALIGNMENT), data_chunk_size(total))?;
        let first_block = plan.next;
        plan.add(flags.metadata, metadata, metadata_chunk_size(total))?;
        first_block
    };
    let ends = plan.chunks.iter().flat_map(|chunk| chunk.copies.iter().map(|copy| copy + chunk.length));
    let end = ends.max().unwrap_or(RESERVED);
    Some(Layout { chunks: plan.chunks, data, metadata: first_block, end })
}

/// Bytes that stay free beside the tree blocks: a running system writes each block again before it frees the old one.
fn headroom(metadata: u64, sizing: ChunkSizing) -> u64 {
    match sizing {
        ChunkSizing::Ample => (metadata / 8).max(4 * MIB),
        ChunkSizing::Tight => metadata / 16 + 2 * MIB,
    }
}

/// Source: `init_alloc_chunk_ctl_policy_regular`, a tenth of the device at most.
fn data_chunk_size(total: u64) -> u64 {
    (total / 10).clamp(8 * MIB, GIB) / ALIGNMENT * ALIGNMENT
}

/// Source: as for data; the limit grows with the device.
fn metadata_chunk_size(total: u64) -> u64 {
    let limit = if total > 50 * GIB { GIB } else { 256 * MIB };
    (total / 10).clamp(8 * MIB, limit) / ALIGNMENT * ALIGNMENT
}

struct Plan {
    chunks: Vec<Chunk>,
    /// The next free logical address.
    next: u64,
    space: Space,
    sizing: ChunkSizing,
}

impl Plan {
    /// Adds chunks of up to `size` bytes that together hold `need` bytes.
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

/// The physical ranges that no chunk has yet, in order.
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

    /// The longest chunk with this many copies that still fits, in bytes.
    fn largest(&self, copies: u64) -> u64 {
        let mut lengths: Vec<u64> = self.0.iter().map(|range| range.end - range.start).collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        let first = lengths.first().copied().unwrap_or(0);
        let second = lengths.get(1).copied().unwrap_or(0);
        let halves = first / copies / ALIGNMENT * ALIGNMENT;
        if copies == 1 { first } else { halves.max(second) }
    }

    /// The lowest place for so many bytes.
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
    fn chunks_are_disjoint_and_spare_the_superblocks() {
        for total in [109 * MIB, 300 * MIB, 4 * GIB, 600 * GIB] {
            let demand = Demand { system: 16_384, data: total / 2, metadata: 3 * MIB };
            check(demand, ChunkSizing::Tight, total).unwrap();
        }
        let demand = Demand { system: 16_384, data: 300 * GIB, metadata: 3 * GIB };
        let layout = check(demand, ChunkSizing::Ample, 600 * GIB).unwrap();
        assert_eq!(layout.chunks.iter().filter(|chunk| chunk.flags == profile::DATA).count(), 300);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let demand = Demand { system: 16_384, data: 105 * MIB, metadata: MIB };
        assert!(check(demand, ChunkSizing::Tight, 109 * MIB).is_none());
    }
}
