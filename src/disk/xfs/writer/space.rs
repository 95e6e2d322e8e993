//! Free blocks and their allocation, from the first group to the last and from low to high.

use super::super::superblock::Superblock;
use std::ops::Range;

/// Consecutive blocks in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FreeRun {
    /// Offset in the fork, in blocks.
    pub offset: u64,
    /// A block number.
    pub start: u64,
    pub count: u64,
}

/// The free space of all groups.
#[derive(Clone, Debug)]
pub(super) struct Space {
    groups: Vec<Free>,
    /// All groups before this one are full.
    first: usize,
    /// Blocks that were allocated but do not exist: how much too small the filesystem is.
    pub missing: u64,
}

#[derive(Clone, Debug)]
struct Free {
    /// Group blocks: sorted, disjoint, none empty.
    ranges: Vec<Range<u32>>,
    /// The number of blocks that may be allocated.
    usable: u64,
}

impl Space {
    /// `groups`: free ranges and number of reserved blocks of each group.
    pub(super) fn new(groups: impl Iterator<Item = (Vec<Range<u32>>, u64)>) -> Self {
        let free = |(ranges, reserve): (Vec<Range<u32>>, u64)| {
            let usable = count(&ranges).saturating_sub(reserve);
            Free { ranges, usable }
        };
        Self { groups: groups.map(free).collect(), first: 0, missing: 0 }
    }

    /// Number of blocks that can be allocated.
    pub(super) fn usable(&self) -> u64 {
        self.groups.iter().map(|free| free.usable).sum()
    }

    /// Number of free blocks, including reserved ones.
    pub(super) fn free(&self) -> u64 {
        self.groups.iter().map(|free| count(&free.ranges)).sum()
    }

    /// The free ranges of a group.
    pub(super) fn ranges(&self, group: u32) -> &[Range<u32>] {
        &self.groups[group as usize].ranges
    }

    /// Allocates blocks in as few runs as possible, for a fork from `offset` on.
    pub(super) fn take(&mut self, superblock: &Superblock, offset: u64, blocks: u64) -> Vec<FreeRun> {
        let mut runs = Vec::new();
        let mut taken = 0;
        while taken < blocks {
            let Some((group, range)) = self.next(blocks - taken) else {
                self.missing += blocks - taken;
                break;
            };
            let count = u64::from(range.end - range.start);
            runs.push(FreeRun {
                offset: offset + taken,
                start: superblock.block_number(group, range.start),
                count,
            });
            taken += count;
        }
        runs
    }

    /// The next run of at most `most` blocks: (group, group blocks).
    fn next(&mut self, most: u64) -> Option<(u32, Range<u32>)> {
        while self.groups.get(self.first)?.usable == 0 {
            self.first += 1;
        }
        let free = &mut self.groups[self.first];
        let range = &mut free.ranges[0];
        let count = u64::from(range.end - range.start).min(free.usable).min(most);
        let taken = range.start..range.start + u32::try_from(count).expect("no longer than a range of u32");
        free.usable -= count;
        range.start = taken.end;
        if range.start >= range.end {
            free.ranges.remove(0);
        }
        Some((u32::try_from(self.first).expect("groups have 32 bits"), taken))
    }

    /// Allocates one block of a given group; may use the reserve, which is for the group's btrees.
    pub(super) fn take_in(&mut self, group: u32) -> Option<u32> {
        let free = &mut self.groups[group as usize];
        let range = free.ranges.first_mut()?;
        let block = range.start;
        free.usable = free.usable.saturating_sub(1);
        range.start += 1;
        if range.start >= range.end {
            free.ranges.remove(0);
        }
        Some(block)
    }

    /// Allocates a run of `blocks` in a given group that starts at a multiple of `alignment`.
    pub(super) fn take_aligned(&mut self, group: u32, blocks: u32, alignment: u32) -> Option<u32> {
        let free = &mut self.groups[group as usize];
        if free.usable < blocks.into() {
            return None;
        }
        let fits = |range: &Range<u32>| {
            let start = range.start.checked_next_multiple_of(alignment.max(1))?;
            (start.checked_add(blocks)? <= range.end).then_some(start)
        };
        let (index, start) =
            free.ranges.iter().enumerate().find_map(|(index, range)| Some((index, fits(range)?)))?;
        let whole = free.ranges[index].clone();
        let rest = [whole.start..start, start + blocks..whole.end];
        free.ranges.splice(index..=index, rest.into_iter().filter(|range| range.start < range.end));
        free.usable -= u64::from(blocks);
        Some(start)
    }
}

fn count(ranges: &[Range<u32>]) -> u64 {
    ranges.iter().map(|range| u64::from(range.end - range.start)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_before_an_aligned_run_stays_free() {
        let mut space = Space::new([(vec![3..6, 10..40], 0)].into_iter());
        assert_eq!(space.take_aligned(0, 8, 8), Some(16));
        assert_eq!(space.ranges(0), [3..6, 10..16, 24..40]);
        assert_eq!(space.take_aligned(0, 17, 1), None);
        assert_eq!(space.usable(), 25);
        assert_eq!(space.take_in(0), Some(3));
    }

    /// The alignment is from the superblock and may have any value.
    #[test]
    fn too_large_alignments_do_not_fit() {
        let free = Range { start: (1 << 31) + 1, end: (1 << 31) + 9 };
        let mut space = Space::new([(Vec::from([free]), 0)].into_iter());
        assert_eq!(space.take_aligned(0, 1, 1 << 31), None);
    }

    #[test]
    fn the_reserve_is_not_allocated() {
        let mut space = Space::new([(vec![0..10, 20..30], 15)].into_iter());
        assert_eq!(space.usable(), 5);
        assert_eq!(space.next(9), Some((0, 0..5)));
        assert_eq!(space.next(9), None);
    }
}
