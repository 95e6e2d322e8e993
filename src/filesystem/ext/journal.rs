//! How many pieces a new journal has, which decides whether its extents fit into its inode.
//!
//! mke2fs 1.47.0 puts the journal into the middle of the filesystem, after the structures of the groups there. What lies
//! in their way is told here in simple terms: each group, or with flexible groups the first of each bundle, starts with
//! copies of superblock and descriptors where it has them, then come the bitmaps and inode tables.

/// A written extent is no longer, in blocks.
const LONGEST_EXTENT: u64 = 32_768;

/// The groups of an empty filesystem. All lengths are blocks.
pub(super) struct Ground<'g> {
    pub group_blocks: u64,
    /// The last group may be shorter.
    pub all_blocks: u64,
    pub groups: u64,
    /// Groups whose bitmaps and tables lie together; 1 without flexible groups.
    pub bundle: u64,
    /// Bitmaps and inode table of one group.
    pub tables: u64,
    /// Copies at a group's start.
    pub head: &'g dyn Fn(u64) -> u64,
}

/// What of a group is free: after `start` blocks in use.
struct Room {
    start: u64,
    end: u64,
}

impl Ground<'_> {
    /// The extents of a journal of `blocks`, which are in the inode or in the tree. `None` if it does not fit before the
    /// end, where mke2fs would go on from the start.
    pub(super) fn extents(&self, blocks: u64) -> Option<u64> {
        let (mut left, mut extents, mut run) = (blocks, 0, 0);
        let mut group = self.start();
        let mut rooms = self.rooms(group);
        while left > 0 {
            if group >= self.groups {
                return None;
            }
            let room = rooms.next()?;
            if room.start > 0 {
                extents += u64::div_ceil(run, LONGEST_EXTENT);
                run = 0;
            }
            let here = (room.end - room.start).min(left);
            run += here;
            left -= here;
            group += 1;
        }
        Some(extents + u64::div_ceil(run, LONGEST_EXTENT))
    }

    /// The rooms of a group and those after it.
    fn rooms(&self, from: u64) -> impl Iterator<Item = Room> {
        // Tables that do not fit into their group go on in the next ones.
        let mut pending = 0;
        (from / self.bundle * self.bundle..self.groups)
            .map(move |group| {
                if group.is_multiple_of(self.bundle) {
                    pending = self.tables * self.bundle.min(self.groups - group);
                }
                let length = self.group_blocks.min(self.all_blocks - group * self.group_blocks);
                let head = (self.head)(group).min(length);
                let taken = pending.min(length - head);
                pending -= taken;
                Room { start: head + taken, end: length }
            })
            .skip((from % self.bundle) as usize)
    }

    /// The group that mke2fs starts from: of those around the middle the one with most room.
    fn start(&self) -> u64 {
        let middle = self.all_blocks / 2 / self.group_blocks;
        let first = if self.bundle > 1 && middle > self.bundle {
            let bundle = middle / self.bundle * self.bundle;
            let full = self.rooms(bundle).take_while(|room| room.start == room.end).count() as u64;
            if bundle + full == self.groups { 0 } else { bundle + full }
        } else {
            middle.saturating_sub(1)
        };
        let last = if self.bundle > 1 && middle > self.bundle { first + 1 } else { middle + 1 };
        let last = last.min(self.groups - 1);
        let mut best = (first, 0);
        for (group, room) in (first..=last).zip(self.rooms(first)) {
            let free = room.end - room.start;
            if free > best.1 {
                best = (group, free);
            }
        }
        best.0
    }
}
