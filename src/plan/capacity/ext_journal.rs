//! Computes the number of extents of a new journal, which determines whether they fit into its inode.
//!
//! mke2fs 1.47.0 places the journal in the middle of the filesystem, after the structures of the groups there. Each
//! group starts with the copies of superblock and descriptors, if it has them, followed by bitmaps and inode tables.
//! With `flex_bg`, those of all groups of a flex group are in its first group.

/// The maximum length of an initialized extent, in blocks.
const LONGEST_EXTENT: u64 = 32_768;

/// The groups of an empty filesystem. All lengths are blocks.
pub(super) struct BlockGroups<'g> {
    pub group_blocks: u64,
    /// The last group may be shorter.
    pub all_blocks: u64,
    pub groups: u64,
    /// Groups in a flex group, whose bitmaps and tables are stored together; 1 without `flex_bg`.
    pub flex_groups: u64,
    /// Bitmaps and inode table of one group.
    pub tables: u64,
    /// The blocks of the copies at the start of a group.
    pub head: &'g dyn Fn(u64) -> u64,
}

/// The free part of a group, after the `start` blocks in use.
struct Rest {
    start: u64,
    end: u64,
}

impl BlockGroups<'_> {
    /// The number of extents of a journal of `blocks`. `None` if it does not fit before the end of the filesystem,
    /// where mke2fs would continue at the start.
    pub(super) fn extents(&self, blocks: u64) -> Option<u64> {
        let (mut left, mut extents, mut run) = (blocks, 0, 0);
        let mut group = self.start();
        let mut rests = self.rests(group);
        while left > 0 {
            if group >= self.groups {
                return None;
            }
            let rest = rests.next()?;
            if rest.start > 0 {
                extents += u64::div_ceil(run, LONGEST_EXTENT);
                run = 0;
            }
            let here = (rest.end - rest.start).min(left);
            run += here;
            left -= here;
            group += 1;
        }
        Some(extents + u64::div_ceil(run, LONGEST_EXTENT))
    }

    /// The free parts of a group and all groups after it.
    fn rests(&self, from: u64) -> impl Iterator<Item = Rest> {
        // Tables that do not fit into their group continue in the next ones.
        let mut pending = 0;
        (from / self.flex_groups * self.flex_groups..self.groups)
            .map(move |group| {
                if group.is_multiple_of(self.flex_groups) {
                    pending = self.tables * self.flex_groups.min(self.groups - group);
                }
                let length = self.group_blocks.min(self.all_blocks - group * self.group_blocks);
                let head = (self.head)(group).min(length);
                let taken = pending.min(length - head);
                pending -= taken;
                Rest { start: head + taken, end: length }
            })
            .skip((from % self.flex_groups) as usize)
    }

    /// The group where mke2fs starts: the one with the most free blocks near the middle.
    fn start(&self) -> u64 {
        let middle = self.all_blocks / 2 / self.group_blocks;
        let first = if self.flex_groups > 1 && middle > self.flex_groups {
            let first_of_flex = middle / self.flex_groups * self.flex_groups;
            let full = self.rests(first_of_flex).take_while(|rest| rest.start == rest.end).count() as u64;
            if first_of_flex + full == self.groups { 0 } else { first_of_flex + full }
        } else {
            middle.saturating_sub(1)
        };
        let last = if self.flex_groups > 1 && middle > self.flex_groups { first + 1 } else { middle + 1 };
        let last = last.min(self.groups - 1);
        let mut best = (first, 0);
        for (group, rest) in (first..=last).zip(self.rests(first)) {
            let free = rest.end - rest.start;
            if free > best.1 {
                best = (group, free);
            }
        }
        best.0
    }
}
