//! Writes the block bitmaps of empty groups that have a backup superblock.
//!
//! mke2fs 1.47.0 leaves these bitmaps uninitialized (`BLOCK_UNINIT`), mke2fs 1.47.2 writes them, and no option selects
//! either behavior. After this step, both versions result in the same bytes. Observed in images of both versions; the
//! reason for the change is unknown.

use super::checksum::seal_descriptor;
use super::group::{Group, Head, head};
use super::normalize::{NormalizeError, Normalizer};
use super::superblock::read_only;
use crate::disk::bytes::u16_at;

/// Fields of a group descriptor.
const FLAGS: usize = 0x12;
const BITMAP_CHECKSUM: (usize, usize) = (0x18, 0x38);
const BLOCK_UNINIT: u16 = 2;

impl Normalizer<'_, '_> {
    pub(super) fn backup_bitmaps(&self) -> Result<(), NormalizeError> {
        let superblock = &self.ext.superblock;
        let heads: Vec<Head> = (0..superblock.groups).map(|group| head(superblock, group)).collect();
        for (number, (group, head)) in self.ext.groups.iter().zip(&heads).enumerate() {
            if group.blocks_unwritten() && !head.is_empty() {
                let bitmap = self.bitmap(number as u32, group, head);
                self.write(group.block_bitmap * superblock.block_size, &bitmap)?;
                self.descriptors(number as u32, &bitmap, &heads)?;
            }
        }
        Ok(())
    }

    /// Sets the bits of the group's own metadata and those after its last cluster.
    fn bitmap(&self, number: u32, group: &Group, head: &Head) -> Vec<u8> {
        let superblock = &self.ext.superblock;
        let clusters = superblock.group_blocks / superblock.cluster_blocks;
        let start = superblock.group_start(number);
        let single = |block: u64| block..block + 1;
        let table = group.inode_table..group.inode_table + superblock.inode_table_blocks();
        let own = [single(group.block_bitmap), single(group.inode_bitmap), table];
        let blocks = [head.superblock.clone(), head.descriptors.clone(), head.reserved.clone()];
        let blocks = blocks.into_iter().chain(own).flatten();
        let used =
            blocks.filter_map(|block| block.checked_sub(start)).map(|at| at / superblock.cluster_blocks);
        let mut bitmap = vec![0; superblock.block_size as usize];
        for bit in used.filter(|bit| *bit < clusters).chain(clusters..superblock.block_size * 8) {
            bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
        }
        bitmap
    }

    /// Updates the group's descriptor in every copy.
    fn descriptors(&self, number: u32, bitmap: &[u8], heads: &[Head]) -> Result<(), NormalizeError> {
        let superblock = &self.ext.superblock;
        let per_block = superblock.descriptors_per_block();
        for head in heads {
            let count = (head.descriptors.end - head.descriptors.start) * per_block;
            let Some(index) = u64::from(number).checked_sub(head.first_described).filter(|i| *i < count)
            else {
                continue;
            };
            let size = superblock.descriptor_size;
            let at = (head.descriptors.start + index / per_block) * superblock.block_size
                + index % per_block * size as u64;
            let mut bytes = self.read(at, size)?;
            let flags = u16_at(&bytes, FLAGS) & !BLOCK_UNINIT;
            bytes[FLAGS..FLAGS + 2].copy_from_slice(&flags.to_le_bytes());
            if superblock.has_read_only(read_only::METADATA_CHECKSUM) {
                let clusters = superblock.group_blocks / superblock.cluster_blocks;
                let covered = &bitmap[..(clusters / 8) as usize];
                let sum = super::checksum::continued(superblock.checksum_seed, covered).to_le_bytes();
                bytes[BITMAP_CHECKSUM.0..BITMAP_CHECKSUM.0 + 2].copy_from_slice(&sum[..2]);
                if size > BITMAP_CHECKSUM.1 {
                    bytes[BITMAP_CHECKSUM.1..BITMAP_CHECKSUM.1 + 2].copy_from_slice(&sum[2..]);
                }
            }
            seal_descriptor(superblock, number, &mut bytes);
            self.write(at, &bytes)?;
        }
        Ok(())
    }
}
