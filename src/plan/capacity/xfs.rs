//! How much an empty filesystem takes, before there is one.

/// Inodes are allocated in chunks of so many.
pub(crate) const CHUNK: u64 = 64;

/// What decides it. All of it is what mkfs.xfs is told or prints.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bytes of the whole filesystem.
    pub size: u64,
    /// Bytes.
    pub block_size: u32,
    /// Bytes.
    pub sector_size: u32,
    /// Bytes.
    pub inode_size: u32,
    /// In blocks, inside the filesystem.
    pub log_blocks: u32,
    /// Allocation groups.
    pub groups: u32,
    pub finobt: bool,
    pub reflink: bool,
}

/// Group headers: superblock, AGF, AGI, AGFL.
const HEADER_SECTORS: u32 = 4;
/// Blocks that each group keeps ready for its btrees (AGFL).
const KEPT_READY: u32 = 4;
/// Btrees of a group without finobt and reflink, one block each: free space twice, inodes.
const BTREES: u32 = 3;
/// Blocks that we leave in each group besides what a kernel sets aside, so that its btrees of free space can grow.
const MARGIN: u64 = 8;
/// Bytes of a btree block's header, key and pointer, and of the records of both btrees. Half of a block is the least
/// that a kernel keeps filled.
const BTREE_HEADER: u32 = 56;
const BTREE_POINTER: u32 = 8;
const INODE_RECORD: u32 = 16;
const REFERENCE_RECORD: u32 = 12;

/// Bytes that file data, directories and further inodes can take. A block is the least unit of all of them.
///
/// Inodes come in chunks of 64, the first of which (with place for 61 nodes besides the root) is not counted here.
/// 0 where nothing fits.
pub fn capacity(shape: &Shape) -> u64 {
    let usable =
        |group| shape.free_blocks_of(group).saturating_sub(u64::from(KEPT_READY) + shape.reserve_of(group));
    (0..shape.groups).map(usable).sum::<u64>() * u64::from(shape.block_size)
}

impl Shape {
    /// As mkfs.xfs writes it into the superblock (`sb_fdblocks`), by which the tests judge the numbers of groups.
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

/// Blocks of a group of `length` blocks, `log` of them the log, that data must leave free: a kernel sets them aside
/// at mount for the growth of two btrees, and warns when it cannot.
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

/// Of a btree with so many records, where each block has the least that it may have.
fn btree_blocks(records: u64, in_leaf: u64, in_node: u64) -> u64 {
    let mut row = records.div_ceil(in_leaf);
    let mut blocks = row;
    while row > 1 {
        row = row.div_ceil(in_node);
        blocks += row;
    }
    blocks
}
