//! Metadata blocks that a node needs outside its inode: made without knowing where they will lie, then placed.

use super::super::header::Header;

/// A block of the fork's own kind (a directory's can be several of the filesystem's), not yet sealed.
pub(super) struct Page {
    pub header: Header,
    pub bytes: Vec<u8>,
}

/// Pages side by side in a fork.
pub(super) struct Segment {
    /// In the filesystem's blocks, from the fork's start.
    pub offset: u64,
    pub pages: Vec<Page>,
}

/// Appends numbers to a buffer as they lie on disk.
pub(super) trait Push {
    fn u16(&mut self, number: u16);
    fn u32(&mut self, number: u32);
    fn u64(&mut self, number: u64);
}

impl Push for Vec<u8> {
    fn u16(&mut self, number: u16) {
        self.extend(number.to_be_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.extend(number.to_be_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.extend(number.to_be_bytes());
    }
}

/// As even shares as can be, none larger than `most`, so that no block is left nearly empty: how many each gets.
pub(super) fn shares(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let parts = count.div_ceil(most).max(1);
    (0..parts).map(move |part| count / parts + usize::from(part < count % parts))
}

/// For counts and offsets inside one block.
pub(super) fn short(number: usize) -> u16 {
    u16::try_from(number).expect("a block has fewer than 65536 bytes")
}

/// For counts and offsets inside one node's metadata.
pub(super) fn word(number: usize) -> u32 {
    u32::try_from(number).expect("metadata of a node has fewer than 2^32 parts")
}
