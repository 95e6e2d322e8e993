//! Inodes as bytes. Source: struct xfs_dinode in xfs_format.h.

use super::super::format::{
    BIGTIME_EPOCH, FLAG2_BIGTIME, FLAG2_NREXT64, INODE_CORE, INODE_CRC, INODE_MAGIC, NANOSECONDS, fork,
    incompat,
};
use super::super::header::{put, seal_crc};
use super::super::superblock::Superblock;
use super::fork::Fork;
use crate::filesystem::tree::Time;
use sha2::{Digest, Sha256};
use uuid::Uuid;

const VERSION: u8 = 3;
/// `NULLAGINO`: the inode waits in no list of deleted ones.
const NOT_UNLINKED: [u8; 4] = [0xff; 4];
/// Any number will do that is not 0.
const CHANGES: u64 = 1;

/// What of an inode does not come from its place.
pub struct Core {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    /// Bytes.
    pub size: u64,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
    pub created: Time,
    pub flags: u16,
    pub data: Fork,
    pub attributes: Option<AttributeFork>,
}

pub struct AttributeFork {
    /// Bytes from the first fork's start, a multiple of 8.
    pub start: usize,
    pub fork: Fork,
}

/// Writes inodes of one filesystem.
#[derive(Clone, Copy)]
pub struct Inodes<'a> {
    pub superblock: &'a Superblock,
    pub seed: Uuid,
}

impl Inodes<'_> {
    /// An inode that is in use.
    pub fn used(&self, number: u64, core: &Core) -> Vec<u8> {
        let wide = self.superblock.incompat & incompat::NREXT64 != 0;
        let big = self.superblock.incompat & incompat::BIGTIME != 0;
        let mut bytes = self.blank(number);
        put(&mut bytes, 2, &u16::try_from(core.mode & 0xffff).expect("masked").to_be_bytes());
        bytes[5] = core.data.format;
        put(&mut bytes, 8, &core.uid.to_be_bytes());
        put(&mut bytes, 12, &core.gid.to_be_bytes());
        put(&mut bytes, 16, &core.links.to_be_bytes());
        for (at, time) in [(32, core.accessed), (40, core.modified), (48, core.changed), (144, core.created)]
        {
            put(&mut bytes, at, &stamp(time, big));
        }
        put(&mut bytes, 56, &core.size.to_be_bytes());
        let attributes = core.attributes.as_ref();
        let blocks = core.data.blocks + attributes.map_or(0, |attributes| attributes.fork.blocks);
        put(&mut bytes, 64, &blocks.to_be_bytes());
        extent_counts(&mut bytes, core, wide);
        bytes[83] = attributes.map_or(fork::EXTENTS, |attributes| attributes.fork.format);
        put(&mut bytes, 90, &core.flags.to_be_bytes());
        put(&mut bytes, 104, &CHANGES.to_be_bytes());
        let flags2 = if big { FLAG2_BIGTIME } else { 0 } | if wide { FLAG2_NREXT64 } else { 0 };
        put(&mut bytes, 120, &flags2.to_be_bytes());
        put(&mut bytes, INODE_CORE, &core.data.bytes);
        if let Some(attributes) = attributes {
            bytes[82] = u8::try_from(attributes.start / 8).expect("inodes have at most 2048 bytes");
            put(&mut bytes, INODE_CORE + attributes.start, &attributes.fork.bytes);
        }
        seal_crc(&mut bytes, INODE_CRC);
        bytes
    }

    /// An inode that is free.
    pub fn free(&self, number: u64) -> Vec<u8> {
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

    /// What a kernel takes at random, so that NFS tells a file from one that had its number before.
    fn generation(&self, number: u64) -> [u8; 4] {
        let digest = Sha256::new().chain_update(self.seed).chain_update(number.to_be_bytes()).finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

fn extent_counts(bytes: &mut [u8], core: &Core, wide: bool) {
    let data = core.data.extents;
    let attributes = core.attributes.as_ref().map_or(0, |attributes| attributes.fork.extents);
    let in_32_bits =
        |count| u32::try_from(count).expect("the files were checked to have few extents").to_be_bytes();
    if wide {
        put(bytes, 24, &data.to_be_bytes());
        put(bytes, 76, &in_32_bits(attributes));
    } else {
        put(bytes, 76, &in_32_bits(data));
        let attributes = u16::try_from(attributes).expect("attributes take a run per group they lie in");
        put(bytes, 80, &attributes.to_be_bytes());
    }
}

/// A time that the filesystem cannot tell becomes the nearest that it can, as with a kernel.
fn stamp(time: Time, big: bool) -> [u8; 8] {
    if big {
        let nanoseconds = i128::from(time.seconds) + i128::from(BIGTIME_EPOCH);
        let count = nanoseconds * i128::from(NANOSECONDS) + i128::from(time.nanoseconds);
        // Of the last second that fits whole. Source: XFS_BIGTIME_TIME_MAX.
        return u64::try_from(count.max(0)).unwrap_or(u64::MAX).to_be_bytes();
    }
    let seconds = i32::try_from(time.seconds).unwrap_or(if time.seconds < 0 { i32::MIN } else { i32::MAX });
    let mut bytes = [0; 8];
    put(&mut bytes, 0, &seconds.to_be_bytes());
    put(&mut bytes, 4, &time.nanoseconds.to_be_bytes());
    bytes
}
