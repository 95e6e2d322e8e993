//! Forecasts the capacity of an XFS filesystem.

/// The number of inodes in a chunk, the unit of inode allocation.
pub(crate) const CHUNK: u64 = 64;

/// The parameters of the filesystem, as passed to or printed by mkfs.xfs.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The size of the filesystem, in bytes.
    pub size: u64,
    /// Bytes.
    pub block_size: u32,
    /// Bytes.
    pub sector_size: u32,
    /// Bytes.
    pub inode_size: u32,
    /// The size of the internal log, in blocks.
    pub log_blocks: u32,
    /// The number of allocation groups.
    pub groups: u32,
    pub finobt: bool,
    pub reflink: bool,
}

/// Group headers: superblock, AGF, AGI, AGFL.
const HEADER_SECTORS: u32 = 4;
/// Blocks that each group reserves for its btrees (AGFL).
const KEPT_READY: u32 = 4;
/// Btrees of a group without finobt and reflink, one block each: two for free space, one for inodes.
const BTREES: u32 = 3;
/// Additional reserve per group for the growth of the free space btrees, in blocks.
const MARGIN: u64 = 8;
/// Sizes of a btree block's header, a key with pointer, and the records of both btrees, in bytes. The kernel keeps
/// blocks at least half full.
const BTREE_HEADER: u32 = 56;
const BTREE_POINTER: u32 = 8;
const INODE_RECORD: u32 = 16;
const REFERENCE_RECORD: u32 = 12;

/// The capacity for file data, directories and further inodes, in bytes. All of them are allocated in blocks.
///
/// Inodes are allocated in chunks of 64. The first chunk, which has space for 61 files besides the root directory, is
/// not included. The result is 0 if nothing fits.
pub fn capacity(shape: &Shape) -> u64 {
    let usable =
        |group| shape.free_blocks_of(group).saturating_sub(u64::from(KEPT_READY) + shape.reserve_of(group));
    (0..shape.groups).map(usable).sum::<u64>() * u64::from(shape.block_size)
}

impl Shape {
    /// The value that mkfs.xfs writes to the superblock (`sb_fdblocks`), which the tests compare.
    #[cfg(test)]
    pub fn free_blocks(&self) -> u64 {
        (0..self.groups).map(|group| self.free_blocks_of(group)).sum()
    }

    fn blocks(&self) -> u64 {
        self.size / u64::from(self.block_size)
    }

    /// The last group may have fewer blocks than the others.
    fn group_length(&self, group: u32) -> u64 {
        let each = self.blocks().div_ceil(self.groups.into());
        self.blocks().saturating_sub(each * u64::from(group)).min(each)
    }

    fn has_log(&self, group: u32) -> bool {
        group == self.groups / 2
    }

    fn free_blocks_of(&self, group: u32) -> u64 {
        let headers = (HEADER_SECTORS * self.sector_size).div_ceil(self.block_size);
        let btrees = BTREES + u32::from(self.finobt) + u32::from(self.reflink);
        let log = if self.has_log(group) { self.log_blocks } else { 0 };
        let inodes = if group == 0 { 64 * self.inode_size / self.block_size } else { 0 };
        self.group_length(group).saturating_sub((headers + btrees + log + inodes).into())
    }

    fn reserve_of(&self, group: u32) -> u64 {
        let log = if self.has_log(group) { self.log_blocks.into() } else { 0 };
        reserve(self, self.group_length(group), log)
    }
}

/// Blocks that data must leave free in a group of `length` blocks, of which `log` are the log. The kernel reserves them
/// at mount for the growth of two btrees, and prints a warning if it cannot.
///
/// Source: xfs_finobt_calc_reserves in xfs_ialloc_btree.c, xfs_refcountbt_calc_reserves in xfs_refcount_btree.c.
pub fn reserve(shape: &Shape, length: u64, log: u64) -> u64 {
    let length = length.saturating_sub(log);
    let half = |entry: u32| u64::from((shape.block_size - BTREE_HEADER) / entry / 2);
    let mut blocks = MARGIN;
    if shape.finobt {
        let chunks = length * u64::from(shape.block_size / shape.inode_size) / CHUNK;
        blocks += btree_blocks(chunks, half(INODE_RECORD), half(BTREE_POINTER));
    }
    if shape.reflink {
        blocks += btree_blocks(length, half(REFERENCE_RECORD), half(BTREE_POINTER));
    }
    blocks
}

/// The blocks of a btree with this many records, if every block is filled to the minimum.
fn btree_blocks(records: u64, in_leaf: u64, in_node: u64) -> u64 {
    let mut row = records.div_ceil(in_leaf);
    let mut blocks = row;
    while row > 1 {
        row = row.div_ceil(in_node);
        blocks += row;
    }
    blocks
}
