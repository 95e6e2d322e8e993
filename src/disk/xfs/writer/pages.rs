//! Metadata blocks of a node outside its inode: built without a location first, then placed.

use super::super::header::HeaderOffsets;

/// A logical block of the fork, without header fields that depend on the location. A directory block may have several
/// filesystem blocks.
pub(super) struct Page {
    pub header: HeaderOffsets,
    pub bytes: Vec<u8>,
}

/// Consecutive pages of a fork.
pub(super) struct Segment {
    /// Offset in the fork, in filesystem blocks.
    pub offset: u64,
    pub pages: Vec<Page>,
}

/// Appends numbers to a buffer in on-disk byte order.
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

/// Divides `count` into shares of at most `most` that are as equal as possible, so that no block is left nearly empty.
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
