//! The fields of an inode, and the encoding of its timestamps and device numbers.
//!
//! Source: kernel, `Documentation/filesystems/ext4/inodes.rst`.

use crate::disk::bytes::{joined, u16_at, u32_at};
use crate::disk::tree::{Time, mode};

/// Size of the part that every inode has, in bytes.
pub(super) const BASE_SIZE: usize = 128;
/// Offset and size of the block map, the extent tree or a short link's target.
pub(super) const MAP: usize = 0x28;
pub(super) const MAP_SIZE: usize = 60;
pub(super) const FLAGS: usize = 0x20;
pub(super) const GENERATION: usize = 0x64;
pub(super) const CHECKSUM_LOW: usize = 0x7c;
/// Offset of the size of the extra part that is in use, counted from [`BASE_SIZE`].
pub(super) const EXTRA_SIZE: usize = 0x80;
pub(super) const CHECKSUM_HIGH: usize = 0x82;
/// The root directory's inode number.
pub(super) const ROOT_NUMBER: u32 = 2;
/// Inode number of the resize inode, which holds the blocks reserved for group descriptors.
pub(super) const RESIZE_NUMBER: u32 = 7;

/// Offsets of a timestamp: seconds, and the extra word with nanoseconds and two more bits of seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimeField {
    pub seconds: usize,
    pub extra: usize,
}

pub(super) const ACCESSED: TimeField = TimeField { seconds: 0x08, extra: 0x8c };
pub(super) const CHANGED: TimeField = TimeField { seconds: 0x0c, extra: 0x84 };
pub(super) const MODIFIED: TimeField = TimeField { seconds: 0x10, extra: 0x88 };
pub(super) const CREATED: TimeField = TimeField { seconds: 0x90, extra: 0x94 };

/// The bits of `i_flags` that are used here.
pub(super) mod flag {
    pub(crate) const ENCRYPTED: u32 = 0x800;
    pub(crate) const EXTENTS: u32 = 0x8_0000;
    pub(crate) const VERITY: u32 = 0x10_0000;
    /// The inode holds the value of another inode's attribute. Its timestamps are a hash and a reference count.
    pub(crate) const ATTRIBUTE_VALUE: u32 = 0x20_0000;
    pub(crate) const INLINE_DATA: u32 = 0x1000_0000;
}

#[derive(Clone, Debug)]
pub(super) struct Inode {
    pub number: u32,
    /// Bytes from the filesystem's start.
    pub at: u64,
    /// The whole inode, at least [`BASE_SIZE`] bytes.
    pub bytes: Vec<u8>,
}

impl Inode {
    pub(super) fn mode(&self) -> u32 {
        u32::from(u16_at(&self.bytes, 0))
    }

    pub(super) fn kind(&self) -> u32 {
        self.mode() & mode::TYPE
    }

    pub(super) fn uid(&self) -> u32 {
        u32::from(u16_at(&self.bytes, 0x78)) << 16 | u32::from(u16_at(&self.bytes, 0x02))
    }

    pub(super) fn gid(&self) -> u32 {
        u32::from(u16_at(&self.bytes, 0x7a)) << 16 | u32::from(u16_at(&self.bytes, 0x18))
    }

    pub(super) fn links(&self) -> u32 {
        u32::from(u16_at(&self.bytes, 0x1a))
    }

    pub(super) fn has_flag(&self, flag: u32) -> bool {
        u32_at(&self.bytes, FLAGS) & flag != 0
    }

    /// Size in bytes.
    pub(super) fn size(&self) -> u64 {
        joined(u32_at(&self.bytes, 0x04), u32_at(&self.bytes, 0x6c))
    }

    /// Block number of the attribute block; 0 if there is none.
    pub(super) fn attribute_block(&self) -> u64 {
        joined(u32_at(&self.bytes, 0x68), u32::from(u16_at(&self.bytes, 0x76)))
    }

    pub(super) fn map(&self) -> &[u8] {
        &self.bytes[MAP..MAP + MAP_SIZE]
    }

    /// Offset of the attributes inside the inode; `None` if the inode has no space for any.
    pub(super) fn extra_end(&self) -> Option<usize> {
        if self.bytes.len() <= BASE_SIZE {
            return None;
        }
        let end = BASE_SIZE + usize::from(u16_at(&self.bytes, EXTRA_SIZE));
        (end + 4 <= self.bytes.len() && end.is_multiple_of(4)).then_some(end)
    }

    /// Whether a link's target is stored in the inode rather than in a block.
    pub(super) fn is_short_link(&self, cluster_size: u64) -> bool {
        // The block count is in units of 512 bytes and includes the attribute block.
        let attributes = if self.attribute_block() == 0 { 0 } else { cluster_size / 512 };
        let blocks = u64::from(u32_at(&self.bytes, 0x1c));
        self.size() < MAP_SIZE as u64
            && !self.has_flag(flag::EXTENTS | flag::INLINE_DATA)
            && blocks.saturating_sub(attributes) == 0
    }

    /// Major and minor device number: the old form with one byte each, or the new form in the second word.
    pub(super) fn device(&self) -> (u32, u32) {
        let old = u32_at(self.map(), 0);
        if old != 0 {
            return ((old >> 8) & 0xff, old & 0xff);
        }
        let new = u32_at(self.map(), 4);
        ((new >> 8) & 0xfff, (new & 0xff) | ((new >> 12) & 0xf_ff00))
    }

    pub(super) fn time(&self, field: TimeField) -> Time {
        read_time(&self.bytes, field)
    }

    pub(super) fn created(&self) -> Option<Time> {
        reaches(&self.bytes, CREATED.seconds).then(|| self.time(CREATED))
    }
}

/// Whether the extra part of an inode includes the four bytes at `at`.
pub(super) fn reaches(bytes: &[u8], at: usize) -> bool {
    at + 4 <= BASE_SIZE
        || (at + 4 <= bytes.len() && at + 4 <= BASE_SIZE + usize::from(u16_at(bytes, EXTRA_SIZE)))
}

pub(super) fn read_time(bytes: &[u8], field: TimeField) -> Time {
    let low = u32_at(bytes, field.seconds) as i32;
    let extra = if reaches(bytes, field.extra) { u32_at(bytes, field.extra) } else { 0 };
    Time {
        seconds: i64::from(low) + (i64::from(extra & 3) << 32),
        nanoseconds: (extra >> 2).min(999_999_999),
    }
}

/// Writes a timestamp if the inode has the field. Without the extra word, timestamps end in 2038.
pub(super) fn write_time(bytes: &mut [u8], field: TimeField, time: Time) {
    if !reaches(bytes, field.seconds) {
        return;
    }
    let low = if reaches(bytes, field.extra) {
        let epoch = (time.seconds - i64::from(time.seconds as i32)) >> 32;
        let extra = time.nanoseconds << 2 | (epoch as u32 & 3);
        bytes[field.extra..field.extra + 4].copy_from_slice(&extra.to_le_bytes());
        time.seconds as i32
    } else {
        time.seconds.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    };
    bytes[field.seconds..field.seconds + 4].copy_from_slice(&low.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(time: Time, size: usize, expect: Time) {
        let mut bytes = vec![0; size];
        if size > BASE_SIZE {
            bytes[EXTRA_SIZE] = 32;
        }
        write_time(&mut bytes, MODIFIED, time);
        assert_eq!(read_time(&bytes, MODIFIED), expect);
    }

    #[test]
    fn timestamps_round_trip_if_the_field_exists() {
        for seconds in [-2_147_483_648, -1, 0, 2_147_483_647, 2_147_483_648, 4_294_967_296, 15_032_385_535] {
            let time = Time { seconds, nanoseconds: 999_999_999 };
            check(time, 256, time);
        }
        check(
            Time { seconds: 5_000_000_000, nanoseconds: 7 },
            128,
            Time { seconds: 2_147_483_647, nanoseconds: 0 },
        );
    }
}
