//! The bytes in use, according to the block bitmaps.

use super::group::head;
use super::reader::Ext;
use super::superblock::{SUPERBLOCK_AT, SUPERBLOCK_SIZE};
use crate::disk::bytes::read;
use crate::disk::ranges::{merged, without};
use crate::disk::source::ReadError;
use std::ops::Range;

impl Ext<'_> {
    /// The byte ranges whose contents matter, even where they are zero: sorted, and merged where they touch. Excluded
    /// are free blocks, and inode tables that the kernel zeroes after mounting.
    pub fn in_use(&self) -> Result<Vec<Range<u64>>, ReadError> {
        let superblock = &self.superblock;
        // The boot block, which may contain boot code, and the superblock.
        let mut used = Vec::from([Range { start: 0, end: SUPERBLOCK_AT + SUPERBLOCK_SIZE as u64 }]);
        let mut zeroed_later = Vec::new();
        let table_blocks = superblock.inode_table_blocks();
        for (number, group) in (0..superblock.groups).zip(&self.groups) {
            let table = self.block_bytes(&(group.inode_table..group.inode_table + table_blocks));
            // Groups with an uninitialized bitmap use exactly these blocks. In other groups, the bitmap contains them,
            // too.
            let head = head(superblock, number);
            for blocks in [head.superblock, head.descriptors, head.reserved] {
                used.push(self.block_bytes(&blocks));
            }
            used.push(self.block_bytes(&(group.block_bitmap..group.block_bitmap + 1)));
            used.push(self.block_bytes(&(group.inode_bitmap..group.inode_bitmap + 1)));
            if group.will_be_zeroed() {
                zeroed_later.push(table);
            } else {
                used.push(table);
            }
            if !group.blocks_unwritten() {
                self.add_group(number, &mut used)?;
            }
        }
        Ok(without(merged(used), &merged(zeroed_later)))
    }

    /// Adds the byte ranges that a group's bitmap marks as used.
    fn add_group(&self, number: u32, used: &mut Vec<Range<u64>>) -> Result<(), ReadError> {
        let superblock = &self.superblock;
        let start = superblock.group_start(number);
        let blocks = superblock.group_blocks.min(superblock.blocks - start);
        for clusters in self.bitmap(number, blocks.div_ceil(superblock.cluster_blocks))? {
            let first = start + clusters.start * superblock.cluster_blocks;
            let end = (start + clusters.end * superblock.cluster_blocks).min(superblock.blocks);
            used.push(self.block_bytes(&(first..end)));
        }
        Ok(())
    }

    /// The runs of set bits among the first `bits` of a group.
    pub(super) fn bitmap(&self, number: u32, bits: u64) -> Result<Vec<Range<u64>>, ReadError> {
        let at = self.groups[number as usize].block_bitmap * self.superblock.block_size;
        Ok(set_bits(&read(self.source, at, self.superblock.block_size as usize)?, bits))
    }

    pub(super) fn block_bytes(&self, blocks: &Range<u64>) -> Range<u64> {
        blocks.start * self.superblock.block_size..blocks.end * self.superblock.block_size
    }
}

fn set_bits(bytes: &[u8], bits: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut push = |run: Range<u64>| match runs.last_mut() {
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    };
    for (index, byte) in bytes.iter().enumerate() {
        let first = index as u64 * 8;
        match byte {
            0 => {}
            0xff if first + 8 <= bits => push(first..first + 8),
            byte => (first..bits.min(first + 8))
                .filter(|bit| byte >> (bit - first) & 1 == 1)
                .for_each(|bit| push(bit..bit + 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_bits_become_runs() {
        assert_eq!(set_bits(&[0b1000_0001, 0xff, 0b11, 0], 32), [0..1, 7..18]);
        assert_eq!(set_bits(&[0xff, 0xff, 0, 1], 25), [0..16, 24..25]);
        assert_eq!(set_bits(&[0xff, 0b101], 9), set_bits(&[0xff, 1], 16));
    }

    #[test]
    fn holes_are_cut_out() {
        assert_eq!(merged(vec![5..7, 0..2, 2..3, 6..9, 4..4]), [0..3, 5..9]);
        assert_eq!(without(vec![0..10, 20..30], &[2..4, 8..22, 29..31]), [0..2, 4..8, 22..29]);
        assert_eq!(without(vec![0..10, 20..30, 40..50], &[0..10, 60..70]), [20..30, 40..50]);
    }
}
