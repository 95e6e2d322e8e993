//! The index by name hash (dabtree), for directories and attributes.
//!
//! Source: struct xfs_da3_blkinfo and xfs_da3_intnode in xfs_da_format.h.

use super::super::format::INDEX_NODE_MAGIC;
use super::super::header::{HeaderOffsets, put};
use super::pages::{Page, Push, shares, short};

/// Sizes in bytes of the common header of index blocks, and of the header of an inner one.
pub(super) const INFO: usize = 56;
const NODE_HEADER: usize = 64;
const ENTRY: usize = 8;

/// The geometry of a new index.
#[derive(Clone, Copy)]
pub(super) struct IndexShape {
    /// Size of an index block in bytes.
    pub block: usize,
    /// Offset of its root in the fork, in filesystem blocks; the other blocks follow.
    pub first: u64,
    /// Filesystem blocks per index block.
    pub step: u64,
}

impl IndexShape {
    fn offset(&self, page: usize) -> u32 {
        u32::try_from(self.first + page as u64 * self.step)
            .expect("offsets in directories and attributes have 32 bits")
    }

    /// The number of pages of an index with this many leaves, including the leaves.
    pub(super) fn pages(&self, leaves: usize) -> usize {
        let mut row = leaves;
        let mut pages = leaves;
        while row > 1 {
            row = row.div_ceil(self.room());
            pages += row;
        }
        pages
    }

    fn room(&self) -> usize {
        (self.block - NODE_HEADER) / ENTRY
    }

    /// All pages of the index, its root first. `leaves` are paired with their greatest hash; their sibling links are
    /// not set.
    pub(super) fn build(&self, leaves: Vec<(Vec<u8>, u32)>) -> Vec<Page> {
        // A single leaf is also the root.
        let base = usize::from(leaves.len() > 1);
        let mut pages = Vec::new();
        let mut row = self.place(leaves, base, &mut pages);
        let mut level = 1;
        while row.len() > 1 {
            let parts: Vec<_> = shares(row.len(), self.room()).collect();
            let mut children = row.into_iter();
            let nodes = parts.iter().map(|part| self.node(level, children.by_ref().take(*part))).collect();
            let at = if parts.len() == 1 { 0 } else { base + pages.len() };
            row = self.place(nodes, at, &mut pages);
            level += 1;
        }
        // The root was built last.
        pages.rotate_right(base);
        pages.into_iter().map(|bytes| Page { header: HeaderOffsets::INDEX, bytes }).collect()
    }

    /// Links the blocks of one level, the first of which becomes page `at`. Returns (greatest hash, offset) of each
    /// block.
    fn place(&self, row: Vec<(Vec<u8>, u32)>, at: usize, pages: &mut Vec<Vec<u8>>) -> Vec<(u32, u32)> {
        let count = row.len();
        let mut placed = Vec::with_capacity(count);
        for (index, (mut bytes, hash)) in row.into_iter().enumerate() {
            let after = if index + 1 < count { self.offset(at + index + 1) } else { 0 };
            let before = if index > 0 { self.offset(at + index - 1) } else { 0 };
            put(&mut bytes, 0, &after.to_be_bytes());
            put(&mut bytes, 4, &before.to_be_bytes());
            pages.push(bytes);
            placed.push((hash, self.offset(at + index)));
        }
        placed
    }

    fn node(&self, level: u16, children: impl Iterator<Item = (u32, u32)>) -> (Vec<u8>, u32) {
        let mut bytes = info(INDEX_NODE_MAGIC.0);
        bytes.resize(NODE_HEADER, 0);
        let mut greatest = 0;
        let mut count = 0;
        for (hash, offset) in children {
            bytes.u32(hash);
            bytes.u32(offset);
            greatest = hash;
            count += 1;
        }
        put(&mut bytes, INFO, &short(count).to_be_bytes());
        put(&mut bytes, INFO + 2, &level.to_be_bytes());
        bytes.resize(self.block, 0);
        (bytes, greatest)
    }
}

/// The start of an index block, without sibling links and checksum.
pub(super) fn info(magic: u16) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    bytes.u16(magic);
    bytes.resize(INFO, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::pages::word;
    use super::*;

    #[test]
    fn pages_match_their_parents() {
        let shape = IndexShape { block: 512, first: 1000, step: 2 };
        for leaves in [1, 2, 56, 57, 3136, 3137, 5000] {
            let row = (0..leaves).map(|leaf| ([info(0xaaaa), vec![0; 456]].concat(), word(leaf))).collect();
            let pages = shape.build(row);
            assert_eq!(pages.len(), shape.pages(leaves));
            let mut found = 0;
            let mut open = vec![0];
            while let Some(page) = open.pop() {
                let bytes = &pages[page].bytes;
                if bytes[8..10] == [0xaa, 0xaa] {
                    found += 1;
                    continue;
                }
                let count = usize::from(u16::from_be_bytes([bytes[56], bytes[57]]));
                let child =
                    |index: usize| u32::from_be_bytes(*bytes[64 + index * 8 + 4..].first_chunk().unwrap());
                open.extend((0..count).map(|index| (child(index) as usize - 1000) / 2));
            }
            assert_eq!(found, leaves);
        }
    }
}
