//! Removes the host's clock from a filesystem that mke2fs has just filled.
//!
//! `mke2fs -d` copies modification times, which are content. It also copies access and change times, which depend on
//! when the host created the files; creation times and the superblock's timestamps are the current time. Normalization
//! sets an inode's access, change and creation times to its modification time. It also sorts the attributes inside
//! inodes and removes those of the host. With `-U` and `-E hash_seed=`, nothing else in the output of mke2fs 1.47
//! depends on clock, randomness or host; it sorts directories itself. One dependency remains: if the attributes of an
//! inode do not fit into it, the host's order decides which of them are moved to a block, and attributes of the host in
//! that block are kept.
//!
//! This works only on a new filesystem: replaying a journal would undo the changes. Inodes that hold attribute values
//! are left unchanged, since the kernel uses their timestamps for other data.

use super::attribute_order::normalize_attributes;
use super::checksum::{seal_inode, seal_superblock};
use super::group::{has_superblock, head};
use super::inode::{ACCESSED, CHANGED, CREATED, FLAGS, MODIFIED, flag, reaches, read_time, write_time};
use super::reader::Ext;
use super::superblock::{MAGIC, MAGIC_AT, SUPERBLOCK_AT, SUPERBLOCK_SIZE, read_only};
use crate::disk::bytes::{damaged, u16_at, u32_at};
use crate::disk::source::{ReadError, Window};
use crate::disk::tree::Time;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Bytes of an inode table per read; a multiple of all block sizes.
const CHUNK: u64 = 1 << 20;
/// Offsets of the superblock's timestamps: seconds, and the bits above 32.
const SUPERBLOCK_TIMES: [(usize, usize); 3] = [(0x30, 0x274), (0x40, 0x277), (0x108, 0x276)];
/// `s_mtime`: the time of the last mount, which is 0.
const MOUNTED: (usize, usize) = (0x2c, 0x275);
/// `s_kbytes_written`, 64 bits.
const WRITTEN: Range<usize> = 0x178..0x180;

/// Why a filesystem could not be normalized.
#[derive(Debug, thiserror::Error)]
pub enum NormalizeError {
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Replaying the journal would undo the changes.
    #[error("cannot normalize timestamps: the filesystem was not unmounted cleanly")]
    Unclean,
    #[error("could not write at byte {at} of the filesystem")]
    Write {
        /// Bytes from the filesystem's start.
        at: u64,
        #[source]
        error: io::Error,
    },
}

/// Normalizes the filesystem of `size` bytes at byte `offset` of `image`. Timestamps are limited to `epoch`, in seconds
/// since 1970.
pub fn normalize(image: &File, offset: u64, size: u64, epoch: i64) -> Result<(), NormalizeError> {
    let window = Window { file: image, offset, size };
    let ext = Ext::open(&window)?;
    if !ext.is_clean() {
        return Err(NormalizeError::Unclean);
    }
    let normalizer =
        Normalizer { ext: &ext, window: &window, latest: Time { seconds: epoch, nanoseconds: 0 } };
    for group in 0..ext.superblock.groups {
        normalizer.group(group)?;
    }
    normalizer.backup_bitmaps()?;
    (0..ext.superblock.groups).filter(|group| has_superblock(&ext.superblock, *group)).try_for_each(|group| {
        let start = head(&ext.superblock, group).superblock.start * ext.superblock.block_size;
        normalizer.superblock(if group == 0 { SUPERBLOCK_AT } else { start })
    })
}

pub(super) struct Normalizer<'s, 'a> {
    pub(super) ext: &'s Ext<'a>,
    window: &'s Window<'s>,
    latest: Time,
}

impl Normalizer<'_, '_> {
    /// Normalizes the used inodes of a group. Reads and writes whole blocks, and writes only changed ones.
    fn group(&self, number: u32) -> Result<(), NormalizeError> {
        let superblock = &self.ext.superblock;
        let group = &self.ext.groups[number as usize];
        let used = group.used_inodes(superblock);
        if used == 0 {
            return Ok(());
        }
        let bitmap = self.read(group.inode_bitmap * superblock.block_size, superblock.block_size as usize)?;
        let is_used = |slot: u64| bitmap[(slot / 8) as usize] >> (slot % 8) & 1 == 1;
        let Some(last) = (0..u64::from(used)).rev().find(|slot| is_used(*slot)) else {
            return Ok(());
        };
        let each = superblock.inode_size as u64;
        let table = group.inode_table * superblock.block_size;
        let length = ((last + 1) * each).next_multiple_of(superblock.block_size);
        for start in (0..length).step_by(CHUNK as usize) {
            let mut bytes = self.read(table + start, CHUNK.min(length - start) as usize)?;
            let first = start / each;
            let mut dirty = Dirty::default();
            for (slot, inode) in (first..=last).zip(bytes.chunks_exact_mut(superblock.inode_size)) {
                let inode_number = number * superblock.group_inodes + slot as u32 + 1;
                if is_used(slot) && self.inode(inode_number, inode) {
                    let at = slot * each - start;
                    dirty.add(at / superblock.block_size * superblock.block_size, superblock.block_size);
                }
            }
            for range in dirty.0 {
                let part = &bytes[range.start as usize..range.end as usize];
                self.write(table + start + range.start, part)?;
            }
        }
        Ok(())
    }

    /// Normalizes an inode. Returns whether it was changed.
    fn inode(&self, number: u32, bytes: &mut [u8]) -> bool {
        let before = bytes.to_vec();
        let modified = read_time(bytes, MODIFIED).min(self.latest);
        if u32_at(bytes, FLAGS) & flag::ATTRIBUTE_VALUE == 0 {
            for field in [ACCESSED, CHANGED, MODIFIED, CREATED] {
                write_time(bytes, field, modified);
            }
        } else {
            // The other timestamps hold the hash of the value and its reference count.
            if reaches(bytes, CREATED.seconds) {
                write_time(bytes, CREATED, read_time(bytes, CREATED).min(self.latest));
            }
        }
        normalize_attributes(bytes);
        if bytes == before {
            return false;
        }
        if self.ext.superblock.has_read_only(read_only::METADATA_CHECKSUM) {
            seal_inode(self.ext.superblock.checksum_seed, number, bytes);
        }
        true
    }

    fn superblock(&self, at: u64) -> Result<(), NormalizeError> {
        let mut bytes = self.read(at, SUPERBLOCK_SIZE)?;
        let magic = u16_at(&bytes, MAGIC_AT);
        if magic != MAGIC {
            let problem = format!("the magic number is {magic:#x}, expected {MAGIC:#x}");
            return Err(damaged("copy of the superblock", at, problem).into());
        }
        let before = bytes.clone();
        for (low, high) in SUPERBLOCK_TIMES {
            let seconds = i64::from(u32_at(&bytes, low)) + (i64::from(bytes[high]) << 32);
            let normalized = seconds.min(self.latest.seconds).max(0).to_le_bytes();
            bytes[low..low + 4].copy_from_slice(&normalized[..4]);
            bytes[high] = normalized[4];
        }
        bytes[MOUNTED.0..MOUNTED.0 + 4].fill(0);
        bytes[MOUNTED.1] = 0;
        bytes[WRITTEN].fill(0);
        if bytes == before {
            return Ok(());
        }
        if self.ext.superblock.has_read_only(read_only::METADATA_CHECKSUM) {
            seal_superblock(&mut bytes);
        }
        self.write(at, &bytes)
    }

    pub(super) fn read(&self, at: u64, length: usize) -> Result<Vec<u8>, ReadError> {
        crate::disk::bytes::read(self.window, at, length)
    }

    /// The offset is inside the window: only bytes that were read from it are written back.
    pub(super) fn write(&self, at: u64, bytes: &[u8]) -> Result<(), NormalizeError> {
        let place = self.window.offset + at;
        self.window.file.write_all_at(bytes, place).map_err(|error| NormalizeError::Write { at, error })
    }
}

/// Ranges to be written, merged where they touch.
#[derive(Debug, Default)]
struct Dirty(Vec<Range<u64>>);

impl Dirty {
    /// Must be called in the order of `start`.
    fn add(&mut self, start: u64, length: u64) {
        match self.0.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(start + length),
            _ => self.0.push(start..start + length),
        }
    }
}
