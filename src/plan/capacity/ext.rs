//! Forecasts the capacity of an ext2, ext3 or ext4 filesystem.
//!
//! The computation reproduces mke2fs 1.47.0 (`ext2fs_initialize` and what `mke2fs.c` creates after it), so the result
//! is exact. There is no result where it would have to guess.

use super::ext_journal::BlockGroups;
use super::ext_options::{Options, Resolved};

pub use super::ext_options::ExtKind;

/// The blocks of the root directory.
const ROOT_BLOCKS: u64 = 1;
/// `/lost+found` gets this many bytes, but at most twelve blocks and at least two.
const LOST_AND_FOUND: u64 = 16 * 1024;
/// A last group with fewer blocks for content than this is dropped.
const SMALLEST_REST: u64 = 50;
/// The maximum of group numbers and inode numbers.
const MAX_32: u64 = u32::MAX as u64;
/// Limit on the number of groups, which are counted one by one. 512 TiB in groups of the default size reach it.
const MOST_GROUPS: u64 = 1 << 22;
/// The number of extents in the inode.
const INODE_EXTENTS: u64 = 4;

/// The parameters of a filesystem.
#[derive(Clone, Copy, Debug)]
pub struct ExtRequest<'a> {
    pub kind: ExtKind,
    /// The size in bytes. mke2fs gets whole KiB.
    pub size: u64,
    /// Further command-line options, such as `-b 4096 -O ^64bit -m 1`, without quotes.
    pub options: &'a str,
}

/// The capacity of an empty filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// In bytes.
    pub block_size: u64,
    /// Blocks for files and directories, including those reserved for root.
    pub free_blocks: u64,
    /// The space reserved for root, in bytes.
    pub reserved: u64,
    /// All inodes, of which eleven are in use.
    pub inodes: u64,
}

impl ExtRequest<'_> {
    /// `None` if mke2fs would fail, or the options are unknown.
    pub fn forecast(&self) -> Option<Capacity> {
        let options = Options::parse(self.options)?;
        let kib = self.size / 1024;
        let resolved = options.resolve(self.kind, kib)?;
        let mut plan = ExtPlan::new(&options, resolved, kib)?;
        plan.compute_groups()?;
        plan.capacity(options.journal)
    }
}

/// The parameters of the filesystem while they are computed.
struct ExtPlan {
    resolved: Resolved,
    /// The requested and the actual number of blocks.
    requested_blocks: u64,
    blocks: u64,
    first_block: u64,
    requested_inodes: u64,
    group_blocks: u64,
    groups: u64,
    group_inodes: u64,
    table_blocks: u64,
    descriptor_blocks: u64,
    reserved_descriptor_blocks: u64,
    /// The requested reserve for root, in blocks.
    requested_reserve: u64,
    reserve: u64,
}

impl ExtPlan {
    fn new(options: &Options, mut resolved: Resolved, kib: u64) -> Option<ExtPlan> {
        let block_size = resolved.block_size;
        let blocks = kib / (block_size / 1024);
        if blocks > MAX_32 {
            if !resolved.has("64bit") {
                return None;
            }
            resolved.features.remove("resize_inode");
        }
        let bytes = blocks.checked_mul(block_size)?;
        let inodes = match options.inodes {
            Some(inodes) if inodes > MAX_32 => return None,
            Some(inodes) => inodes,
            None => {
                let inodes = bytes / resolved.inode_ratio;
                if inodes > MAX_32 && !resolved.has("64bit") {
                    return None;
                }
                inodes.min(MAX_32)
            }
        };
        if blocks == 0 || inodes * resolved.inode_size >= bytes {
            return None;
        }
        let reserve = percent_of(resolved.reserve, blocks);
        // The free block count of a group has 16 bits.
        let group_blocks = options.group_blocks.unwrap_or(block_size * 8).min((1 << 16) - 8);
        Some(ExtPlan {
            requested_blocks: blocks,
            blocks,
            first_block: u64::from(block_size == 1024),
            requested_inodes: if inodes == 0 { default_inodes(blocks, block_size) } else { inodes },
            group_blocks,
            groups: 0,
            group_inodes: 0,
            table_blocks: 0,
            descriptor_blocks: 0,
            reserved_descriptor_blocks: 0,
            requested_reserve: reserve,
            reserve,
            resolved,
        })
    }

    /// Computes the groups, and drops a last group that is too small.
    fn compute_groups(&mut self) -> Option<()> {
        /// Reserved inodes, and `lost+found`.
        const FEWEST_INODES: u64 = 12;
        loop {
            let block_size = self.resolved.block_size;
            self.groups = self.blocks.checked_sub(self.first_block)?.div_ceil(self.group_blocks);
            if !(1..=MOST_GROUPS).contains(&self.groups) {
                return None;
            }
            self.descriptor_blocks = self.groups.div_ceil(self.descriptors_per_block());
            let group_inodes = self.requested_inodes.max(FEWEST_INODES).div_ceil(self.groups);
            if group_inodes > block_size * 8 {
                // With smaller groups there are more of them, each with fewer inodes.
                self.group_blocks = self.group_blocks.checked_sub(8).filter(|left| *left >= 248)?;
                self.blocks = self.requested_blocks;
                continue;
            }
            self.compute_inode_tables(group_inodes)?;
            self.compute_descriptors();
            let heads = if self.resolved.has("meta_bg") { 1 } else { self.descriptor_blocks };
            if 3 + self.table_blocks + self.reserved_descriptor_blocks + heads > self.group_blocks {
                return None;
            }
            let mut least = 2 + self.table_blocks;
            if self.last_group_has_copy() {
                least += 1 + self.descriptor_blocks + self.reserved_descriptor_blocks;
            }
            let rest = (self.blocks - self.first_block) % self.group_blocks;
            if rest == 0 || rest >= least + SMALLEST_REST {
                return Some(());
            }
            // If the only group is dropped, no blocks are left and mke2fs fails.
            self.blocks -= rest;
            let ratio = 100.0 * self.requested_reserve as f64 / self.requested_blocks as f64;
            self.reserve = percent_of(ratio, self.blocks);
        }
    }

    fn descriptors_per_block(&self) -> u64 {
        self.resolved.block_size / if self.resolved.has("64bit") { 64 } else { 32 }
    }

    /// Rounds the inodes per group up to fill the blocks of the inode table, in multiples of eight.
    fn compute_inode_tables(&mut self, mut wanted: u64) -> Option<()> {
        let Resolved { block_size, inode_size, .. } = self.resolved;
        wanted = wanted.min((1 << 16) - block_size / inode_size);
        loop {
            let blocks = (wanted * inode_size).div_ceil(block_size);
            self.group_inodes = (blocks * block_size / inode_size).max(8) & !7;
            self.table_blocks = (self.group_inodes * inode_size).div_ceil(block_size);
            if self.group_inodes * self.groups <= MAX_32 {
                return Some(());
            }
            wanted = wanted.checked_sub(1)?;
        }
    }

    /// Reserves descriptor blocks for growing to 1024 times the size, unless they would take most of a group.
    fn compute_descriptors(&mut self) {
        let addresses = self.resolved.block_size / 4;
        self.reserved_descriptor_blocks = 0;
        if self.resolved.has("resize_inode") {
            let most = if self.blocks < MAX_32 / 1024 { self.blocks * 1024 } else { MAX_32 };
            let groups = (most - self.first_block).div_ceil(self.group_blocks);
            let blocks = groups.div_ceil(self.descriptors_per_block());
            // The subtraction wraps around as in mke2fs, if there are more descriptors than the maximum size needs.
            let more = blocks.checked_sub(self.descriptor_blocks).unwrap_or(addresses);
            self.reserved_descriptor_blocks = more.min(addresses);
        }
        if self.reserved_descriptor_blocks + self.descriptor_blocks > self.group_blocks * 3 / 4 {
            self.resolved.features.insert("meta_bg".to_owned());
            self.resolved.features.remove("resize_inode");
            self.reserved_descriptor_blocks = 0;
        }
    }

    fn last_group_has_copy(&self) -> bool {
        if self.resolved.has("sparse_super2") {
            return self.resolved.backups >= if self.groups == 2 { 1 } else { 2 };
        }
        self.has_copy(self.groups - 1)
    }

    fn has_copy(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.resolved.has("sparse_super2") {
            let last = self.groups - 1;
            return match self.resolved.backups {
                0 => false,
                1 => group == 1.min(last),
                _ => group == 1.min(last) || group == last,
            };
        }
        !self.resolved.has("sparse_super") || is_sparse_backup(group as u32)
    }

    /// The blocks of the copies at the starts of all groups.
    fn heads(&self) -> u64 {
        (0..self.groups).map(|group| self.head(group)).sum()
    }

    /// The blocks of the copies at the start of a group.
    fn head(&self, group: u64) -> u64 {
        let copy = u64::from(self.has_copy(group));
        if self.resolved.has("meta_bg") {
            let per_block = self.descriptors_per_block();
            let place = group % per_block;
            copy + u64::from(place <= 1 || place == per_block - 1)
        } else {
            copy * (1 + self.descriptor_blocks + self.reserved_descriptor_blocks)
        }
    }

    fn capacity(&self, requested_journal: Option<u64>) -> Option<Capacity> {
        let block_size = self.resolved.block_size;
        let heads = self.heads();
        let tables = self.groups * (2 + self.table_blocks);
        let all = self.blocks - self.first_block;
        // With flex_bg, mke2fs ignores the tables when it checks the size of the journal.
        let early_tables = if self.resolved.has("flex_bg") { 0 } else { tables };
        let early = all.checked_sub(heads)?.checked_sub(early_tables)?;
        let journal = self.journal_blocks(requested_journal, early)?;
        let lost_and_found = (LOST_AND_FOUND / block_size).clamp(2, 12);
        let resize = u64::from(self.resolved.has("resize_inode"));
        let taken = heads + tables + ROOT_BLOCKS + lost_and_found + resize + journal;
        Some(Capacity {
            block_size,
            free_blocks: all.checked_sub(taken)?,
            reserved: self.reserve * block_size,
            inodes: self.group_inodes * self.groups,
        })
    }

    /// The blocks of the journal and of its block map.
    fn journal_blocks(&self, asked: Option<u64>, early_free: u64) -> Option<u64> {
        let Some(default) = default_journal(self.blocks).filter(|_| self.resolved.has("has_journal")) else {
            return Some(0);
        };
        let blocks = match asked {
            None => default,
            Some(mib) => {
                let blocks = mib.checked_mul(1024)? / (self.resolved.block_size / 1024);
                ((1024..=10_240_000).contains(&blocks) && blocks <= early_free / 2).then_some(blocks)?
            }
        };
        let map =
            if self.resolved.has("extent") { self.extent_blocks(blocks)? } else { self.map_blocks(blocks) };
        Some(blocks + map)
    }

    /// The blocks of the extent tree.
    fn extent_blocks(&self, blocks: u64) -> Option<u64> {
        let groups = BlockGroups {
            group_blocks: self.group_blocks,
            all_blocks: self.blocks - self.first_block,
            groups: self.groups,
            flex_groups: if self.resolved.has("flex_bg") { self.resolved.flex_groups } else { 1 },
            tables: 2 + self.table_blocks,
            head: &|group| self.head(group),
        };
        let extents = groups.extents(blocks)?;
        if extents <= INODE_EXTENTS {
            return Some(0);
        }
        // A block has a header too. mke2fs splits full blocks in half, so the number is only known for one block.
        let per_block = (self.resolved.block_size - 12) / 12;
        (extents <= per_block).then_some(1)
    }

    /// The indirect blocks.
    fn map_blocks(&self, blocks: u64) -> u64 {
        let addresses = self.resolved.block_size / 4;
        let mut left = blocks.saturating_sub(12);
        let mut taken = 0;
        for level in 1..=3_u32 {
            let here = left.min(addresses.pow(level));
            // One block per level for every full or partial span of that level.
            taken += (1..=level).map(|below| here.div_ceil(addresses.pow(below))).sum::<u64>();
            left -= here;
        }
        taken
    }
}

fn percent_of(percent: f64, blocks: u64) -> u64 {
    (percent * blocks as f64 / 100.0) as u64
}

/// The number of inodes if the ratio results in none.
fn default_inodes(blocks: u64, block_size: u64) -> u64 {
    let per_inode = if block_size >= 4096 { 1 } else { 4096 / block_size };
    (blocks / per_inode).min(MAX_32)
}

/// The default journal size in blocks; `None` if the filesystem is too small for a journal.
fn default_journal(blocks: u64) -> Option<u64> {
    const KI: u64 = 1024;
    Some(match blocks {
        ..2048 => return None,
        2048..32_768 => 1024,
        32_768..262_144 => 4 * KI,
        262_144..524_288 => 8 * KI,
        524_288..4_194_304 => 16 * KI,
        4_194_304..8_388_608 => 32 * KI,
        8_388_608..16_777_216 => 64 * KI,
        16_777_216..33_554_432 => 128 * KI,
        _ => 256 * KI,
    })
}

/// Whether a group has copies with `sparse_super`: 0, 1 and the powers of 3, 5 and 7.
pub fn is_sparse_backup(group: u32) -> bool {
    let is_power_of = |base: u32| {
        let mut power = base;
        while power < group {
            match power.checked_mul(base) {
                Some(next) => power = next,
                None => return false,
            }
        }
        power == group
    };
    group <= 1 || [3, 5, 7].into_iter().any(is_power_of)
}
