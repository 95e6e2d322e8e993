//! On-disk inodes. Source: struct xfs_dinode in xfs_format.h.

use super::super::format::{
    BIGTIME_EPOCH, FLAG2_BIGTIME, FLAG2_NREXT64, INODE_CORE, INODE_CRC, INODE_MAGIC, NANOSECONDS, fork,
    incompat,
};
use super::super::header::{put, seal_crc};
use super::super::superblock::Superblock;
use super::fork::Fork;
use crate::disk::tree::Time;
use sha2::{Digest, Sha256};
use uuid::Uuid;

const VERSION: u8 = 3;
/// `NULLAGINO`: the inode is not in a list of unlinked inodes.
const NOT_UNLINKED: [u8; 4] = [0xff; 4];
/// Any number except 0.
const CHANGES: u64 = 1;
/// The last second of "bigtime". Source: XFS_BIGTIME_TIME_MAX.
const BIGTIME_LAST: i64 = ((u64::MAX / NANOSECONDS as u64) & !3) as i64;
/// Most extents of a file's data, and of its attributes. Source: XFS_MAX_EXTCNT_DATA_FORK_SMALL,
/// XFS_MAX_EXTCNT_ATTR_FORK_SMALL.
const MOST_DATA: u64 = (1 << 31) - 1;
const MOST_ATTRIBUTES: u64 = (1 << 15) - 1;
const MOST_WIDE_DATA: u64 = (1 << 48) - 1;
const MOST_WIDE_ATTRIBUTES: u64 = (1 << 32) - 1;

/// The contents of an inode that do not depend on its location.
pub(super) struct Core {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    /// Size in bytes.
    pub size: u64,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
    pub created: Time,
    pub flags: u16,
    pub data: Fork,
    pub attributes: Option<AttributeFork>,
}

pub(super) struct AttributeFork {
    /// Offset from the start of the first fork in bytes, a multiple of 8.
    pub start: usize,
    pub fork: Fork,
}

/// Encodes the inodes of one filesystem.
#[derive(Clone, Copy)]
pub(super) struct Inodes<'a> {
    pub superblock: &'a Superblock,
    pub seed: Uuid,
}

impl Inodes<'_> {
    /// Encodes an inode in use. The error is the reason why it cannot be stored.
    pub(super) fn used(&self, number: u64, core: &Core) -> Result<Vec<u8>, &'static str> {
        let has = |feature| self.superblock.incompat & feature != 0;
        let (width, wide) =
            if has(incompat::NREXT64) { (CountWidth::Wide, FLAG2_NREXT64) } else { (CountWidth::Narrow, 0) };
        let (form, big) =
            if has(incompat::BIGTIME) { (TimeForm::Big, FLAG2_BIGTIME) } else { (TimeForm::Old, 0) };
        let mut bytes = self.blank(number);
        put(&mut bytes, 2, &u16::try_from(core.mode & 0xffff).expect("masked").to_be_bytes());
        bytes[5] = core.data.format;
        put(&mut bytes, 8, &core.uid.to_be_bytes());
        put(&mut bytes, 12, &core.gid.to_be_bytes());
        put(&mut bytes, 16, &core.links.to_be_bytes());
        for (at, time) in [(32, core.accessed), (40, core.modified), (48, core.changed), (144, core.created)]
        {
            put(&mut bytes, at, &stamp(time, form));
        }
        put(&mut bytes, 56, &core.size.to_be_bytes());
        let attributes = core.attributes.as_ref();
        let blocks = core.data.blocks + attributes.map_or(0, |attributes| attributes.fork.blocks);
        put(&mut bytes, 64, &blocks.to_be_bytes());
        extent_counts(&mut bytes, core, width)?;
        bytes[83] = attributes.map_or(fork::EXTENTS, |attributes| attributes.fork.format);
        put(&mut bytes, 90, &core.flags.to_be_bytes());
        put(&mut bytes, 104, &CHANGES.to_be_bytes());
        put(&mut bytes, 120, &(big | wide).to_be_bytes());
        put(&mut bytes, INODE_CORE, &core.data.bytes);
        if let Some(attributes) = attributes {
            bytes[82] = u8::try_from(attributes.start / 8).expect("inodes have at most 2048 bytes");
            put(&mut bytes, INODE_CORE + attributes.start, &attributes.fork.bytes);
        }
        seal_crc(&mut bytes, INODE_CRC);
        Ok(bytes)
    }

    /// Encodes a free inode.
    pub(super) fn free(&self, number: u64) -> Vec<u8> {
        let mut bytes = self.blank(number);
        seal_crc(&mut bytes, INODE_CRC);
        bytes
    }

    fn blank(&self, number: u64) -> Vec<u8> {
        let mut bytes = vec![0; self.superblock.inode()];
        put(&mut bytes, 0, &INODE_MAGIC.to_be_bytes());
        bytes[4] = VERSION;
        put(&mut bytes, 92, &self.generation(number));
        put(&mut bytes, 96, &NOT_UNLINKED);
        put(&mut bytes, 152, &number.to_be_bytes());
        put(&mut bytes, 160, self.superblock.metadata_uuid.as_bytes());
        bytes
    }

    /// The kernel uses a random generation number, so that NFS can distinguish a file from an earlier one with the same
    /// inode number.
    fn generation(&self, number: u64) -> [u8; 4] {
        let digest = Sha256::new().chain_update(self.seed).chain_update(number.to_be_bytes()).finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

/// Fails if there are too many extents.
fn extent_counts(bytes: &mut [u8], core: &Core, width: CountWidth) -> Result<(), &'static str> {
    let data = core.data.extents;
    let attributes = core.attributes.as_ref().map_or(0, |attributes| attributes.fork.extents);
    let most = match width {
        CountWidth::Wide => (MOST_WIDE_DATA, MOST_WIDE_ATTRIBUTES),
        CountWidth::Narrow => (MOST_DATA, MOST_ATTRIBUTES),
    };
    if data > most.0 {
        return Err("the content has more extents than an inode can count");
    }
    if attributes > most.1 {
        return Err("the attributes have more extents than an inode can count");
    }
    match width {
        CountWidth::Wide => {
            put(bytes, 24, &data.to_be_bytes());
            put(bytes, 76, &(attributes as u32).to_be_bytes());
        }
        CountWidth::Narrow => {
            put(bytes, 76, &(data as u32).to_be_bytes());
            put(bytes, 80, &(attributes as u16).to_be_bytes());
        }
    }
    Ok(())
}

/// The encoding of timestamps.
#[derive(Clone, Copy)]
enum TimeForm {
    /// A count of nanoseconds (`bigtime`).
    Big,
    /// Seconds and nanoseconds, 32 bits each.
    Old,
}

/// The width of the extent counters.
#[derive(Clone, Copy)]
enum CountWidth {
    /// `nrext64`
    Wide,
    Narrow,
}

/// Encodes a timestamp. As in the kernel, a time out of range is clamped; the first and the last second have no
/// fractions. Source: timestamp_truncate in fs/inode.c.
fn stamp(time: Time, form: TimeForm) -> [u8; 8] {
    let (first, last) = match form {
        TimeForm::Big => (-BIGTIME_EPOCH, BIGTIME_LAST - BIGTIME_EPOCH),
        TimeForm::Old => (i32::MIN.into(), i32::MAX.into()),
    };
    let seconds = time.seconds.clamp(first, last);
    let nanoseconds = if (first + 1..last).contains(&seconds) { time.nanoseconds } else { 0 };
    match form {
        TimeForm::Big => {
            let count = (seconds + BIGTIME_EPOCH) as u64 * NANOSECONDS as u64 + u64::from(nanoseconds);
            count.to_be_bytes()
        }
        TimeForm::Old => {
            let mut bytes = [0; 8];
            put(&mut bytes, 0, &(seconds as i32).to_be_bytes());
            put(&mut bytes, 4, &nanoseconds.to_be_bytes());
            bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: TimeForm, seconds: i64, nanoseconds: u32, expect: [u8; 8]) {
        assert_eq!(stamp(Time { seconds, nanoseconds }, form), expect, "{seconds}");
    }

    #[test]
    fn timestamps_are_clamped_as_in_the_kernel() {
        // 2486-07-02, the last second of `bigtime`, and the time after it.
        let last = 18_446_744_072_u64 * 1_000_000_000;
        for seconds in [16_299_260_424, 16_299_260_425, i64::MAX] {
            check(TimeForm::Big, seconds, 5, last.to_be_bytes());
        }
        check(TimeForm::Big, 16_299_260_423, 5, (last - 1_000_000_000 + 5).to_be_bytes());
        check(TimeForm::Big, 0, 7, (2_147_483_648_000_000_007_u64).to_be_bytes());
        check(TimeForm::Big, i64::MIN, 5, [0; 8]);
        check(TimeForm::Old, 1, 7, [0, 0, 0, 1, 0, 0, 0, 7]);
        check(TimeForm::Old, i64::MAX, 7, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        check(TimeForm::Old, i64::MIN, 7, [0x80, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn too_many_extents_are_rejected() {
        let time = Time::default();
        let check = |data: u64, attributes: u64, width| {
            let fork = |extents| Fork { extents, ..Fork::empty() };
            let core = Core {
                mode: 0,
                uid: 0,
                gid: 0,
                links: 1,
                size: 0,
                accessed: time,
                modified: time,
                changed: time,
                created: time,
                flags: 0,
                data: fork(data),
                attributes: Some(AttributeFork { start: 8, fork: fork(attributes) }),
            };
            extent_counts(&mut [0; INODE_CORE], &core, width).is_ok()
        };
        assert!(check(i32::MAX as u64, i16::MAX as u64, CountWidth::Narrow));
        assert!(!check(1 << 31, 1, CountWidth::Narrow));
        assert!(!check(1, 1 << 15, CountWidth::Narrow));
        assert!(check(1 << 31, 1 << 15, CountWidth::Wide));
        assert!(!check(1, 1 << 32, CountWidth::Wide));
    }
}
