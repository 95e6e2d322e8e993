//! The superblock: the filesystem's geometry, and computing locations from it.

use super::format::{SUPERBLOCK_LENGTH, SUPERBLOCK_MAGIC, incompat};
use super::header::crc_is_valid;
use super::view::{Name, View};
use crate::disk::source::{ReadError, Source};
use std::ops::Range;
use uuid::Uuid;

/// Offsets of fields that a writer changes.
pub(super) const VERSION_OFFSET: usize = 100;
pub(super) const INODE_COUNT_OFFSET: usize = 128;
pub(super) const FREE_INODES_OFFSET: usize = 136;
pub(super) const FREE_BLOCKS_OFFSET: usize = 144;
pub(super) const CRC_OFFSET: usize = 224;
/// The bit of `sb_versionnum` for attributes.
pub(super) const VERSION_ATTRIBUTES: u16 = 0x0010;

/// Bits of `sb_versionnum` and `sb_features2`.
const VERSION_NUMBER: u16 = 0x000f;
const VERSION_DIRECTORIES_2: u16 = 0x2000;
const VERSION_ANY_CASE: u16 = 0x4000;
const FEATURES2_FTYPE: u32 = 0x0200;

/// Log2 of the sizes that the format allows.
const BLOCK_LOG: Range<u8> = 9..17;
const SECTOR_LOG: Range<u8> = 9..16;
const INODE_LOG: Range<u8> = 8..12;
const DIRECTORY_BLOCK_LOG_MAX: u8 = 16;

/// The validated primary superblock: all values that are computed from it are in range.
#[derive(Clone, Debug)]
pub(super) struct Superblock {
    pub block_log: u8,
    pub sector_log: u8,
    pub inode_log: u8,
    /// Log2 of the blocks of a group, rounded up.
    group_log: u8,
    /// Log2 of the filesystem blocks of a directory block.
    pub directory_log: u8,
    /// Number of blocks of the filesystem.
    pub blocks: u64,
    pub group_blocks: u32,
    pub groups: u32,
    /// Block number of the log; 0 if the log is external.
    pub log_start: u64,
    pub log_blocks: u32,
    pub root: u64,
    pub bitmap: u64,
    pub summary: u64,
    /// Alignment of inode chunks in blocks; 0 means none.
    pub inode_alignment: u32,
    pub inode_count: u64,
    pub free_inodes: u64,
    pub free_blocks: u64,
    pub realtime_blocks: u64,
    /// 4 or 5.
    pub version: u16,
    pub any_case: bool,
    pub ftype: bool,
    pub compat: u32,
    pub ro_compat: u32,
    pub incompat: u32,
    pub log_incompat: u32,
    /// The UUID that users see.
    pub uuid: Uuid,
    /// The UUID in metadata blocks.
    pub metadata_uuid: Uuid,
    pub label: [u8; 12],
}

impl Superblock {
    pub(super) fn read(source: &dyn Source) -> Result<Self, ReadError> {
        let io = |error| ReadError::Io { at: 0, error };
        let mut bytes = vec![0; SUPERBLOCK_LENGTH];
        source.read_at(&mut bytes, 0).map_err(io)?;
        let view = View { bytes: &bytes, name: Name { kind: "superblock", number: 0 }, at: 0 };
        let superblock = Self::parse(&view)?;
        superblock.check(&view, source.size())?;
        if superblock.version == 5 {
            let mut sector = vec![0; superblock.sector()];
            source.read_at(&mut sector, 0).map_err(io)?;
            if !crc_is_valid(&sector, CRC_OFFSET) {
                return Err(view.damaged("checksum mismatch"));
            }
        }
        Ok(superblock)
    }

    fn parse(view: &View) -> Result<Self, ReadError> {
        view.expect("the magic number", view.u32(0)?, SUPERBLOCK_MAGIC)?;
        let version_bits = view.u16(VERSION_OFFSET)?;
        let version = version_bits & VERSION_NUMBER;
        if !(version == 5 || version == 4 && version_bits & VERSION_DIRECTORIES_2 != 0) {
            return Err(ReadError::Unsupported(format!(
                "unsupported XFS version {version} ({version_bits:#06x}), expected 4 (with directory version 2) or 5"
            )));
        }
        // These fields are undefined in version 4.
        let feature = |offset| if version == 5 { view.u32(offset) } else { Ok(0) };
        let incompat = feature(216)?;
        let uuid = Uuid::from_bytes(view.array(32)?);
        Ok(Self {
            block_log: view.u8(120)?,
            sector_log: view.u8(121)?,
            inode_log: view.u8(122)?,
            group_log: view.u8(124)?,
            directory_log: view.u8(192)?,
            blocks: view.u64(8)?,
            group_blocks: view.u32(84)?,
            groups: view.u32(88)?,
            log_start: view.u64(48)?,
            log_blocks: view.u32(96)?,
            root: view.u64(56)?,
            bitmap: view.u64(64)?,
            summary: view.u64(72)?,
            inode_alignment: view.u32(180)?,
            inode_count: view.u64(INODE_COUNT_OFFSET)?,
            free_inodes: view.u64(FREE_INODES_OFFSET)?,
            free_blocks: view.u64(FREE_BLOCKS_OFFSET)?,
            realtime_blocks: view.u64(16)?,
            version,
            any_case: version_bits & VERSION_ANY_CASE != 0,
            ftype: incompat & incompat::FTYPE != 0 || version == 4 && view.u32(200)? & FEATURES2_FTYPE != 0,
            compat: feature(208)?,
            ro_compat: feature(212)?,
            incompat,
            log_incompat: feature(220)?,
            uuid,
            metadata_uuid: if incompat & incompat::META_UUID != 0 {
                Uuid::from_bytes(view.array(248)?)
            } else {
                uuid
            },
            label: view.array(108)?,
        })
    }

    fn check(&self, view: &View, size: u64) -> Result<(), ReadError> {
        let inside = |what: &str, value: u8, range: Range<u8>| {
            if range.contains(&value) {
                return Ok(());
            }
            Err(view.damaged(format!(
                "{what} is 2^{value}, expected 2^{} to 2^{}",
                range.start,
                range.end - 1
            )))
        };
        inside("the block size", self.block_log, BLOCK_LOG)?;
        inside("the sector size", self.sector_log, SECTOR_LOG.start..SECTOR_LOG.end.min(self.block_log + 1))?;
        inside("the inode size", self.inode_log, INODE_LOG.start..INODE_LOG.end.min(self.block_log + 1))?;
        inside(
            "the directory block size in blocks",
            self.directory_log,
            0..DIRECTORY_BLOCK_LOG_MAX - self.block_log.min(16) + 1,
        )?;
        if self.version == 5 && self.inode_log < 9 {
            return Err(view.damaged("inodes of 256 bytes are not allowed in version 5"));
        }
        let group_log = u64::from(self.group_blocks).max(1).next_power_of_two().trailing_zeros();
        if u32::from(self.group_log) != group_log || self.group_blocks < 16 {
            let Self { group_blocks, group_log, .. } = self;
            return Err(view.damaged(format!(
                "a group has {group_blocks} blocks, which does not match 2^{group_log} in block numbers"
            )));
        }
        let most = u64::from(self.groups) * u64::from(self.group_blocks);
        if self.groups == 0 || self.blocks > most || self.blocks <= most - u64::from(self.group_blocks) {
            let Self { groups, group_blocks, blocks, .. } = self;
            return Err(
                view.damaged(format!("{groups} groups of {group_blocks} blocks do not give {blocks} blocks"))
            );
        }
        if self.blocks > size >> self.block_log {
            let wanted = u128::from(self.blocks) << self.block_log;
            return Err(view.damaged(format!("the filesystem has {wanted} bytes, but only {size} exist")));
        }
        if self.log_start != 0 && self.run(self.log_start, self.log_blocks.into()).is_none() {
            return Err(view.damaged("the log is outside the filesystem"));
        }
        Ok(())
    }

    /// Block size in bytes.
    pub(super) fn block(&self) -> usize {
        1 << self.block_log
    }

    /// Sector size in bytes.
    pub(super) fn sector(&self) -> usize {
        1 << self.sector_log
    }

    /// Inode size in bytes.
    pub(super) fn inode(&self) -> usize {
        1 << self.inode_log
    }

    /// Log2 of the inodes per block.
    pub(super) fn inodes_log(&self) -> u8 {
        self.block_log - self.inode_log
    }

    /// Directory block size in bytes.
    pub(super) fn directory_block(&self) -> usize {
        1 << (self.block_log + self.directory_log)
    }

    pub(super) fn has(&self, ro_compat: u32) -> bool {
        self.ro_compat & ro_compat != 0
    }

    /// Number of blocks of a group; the last group may have fewer. `group` must exist.
    pub(super) fn group_length(&self, group: u32) -> u32 {
        let before = u64::from(group) * u64::from(self.group_blocks);
        u32::try_from((self.blocks - before).min(self.group_blocks.into())).expect("at most group_blocks")
    }

    /// Offset of a group in bytes.
    pub(super) fn group_byte(&self, group: u32) -> u64 {
        (u64::from(group) * u64::from(self.group_blocks)) << self.block_log
    }

    pub(super) fn block_number(&self, group: u32, block: u32) -> u64 {
        u64::from(group) << self.group_log | u64::from(block)
    }

    /// Offset in bytes of a run of blocks; `None` if the run is not inside one group of the filesystem.
    pub(super) fn run(&self, number: u64, count: u64) -> Option<u64> {
        let group = u32::try_from(number >> self.group_log).ok().filter(|group| *group < self.groups)?;
        let block = number & ((1 << self.group_log) - 1);
        let end = block.checked_add(count)?;
        let inside = count > 0 && end <= u64::from(self.group_length(group));
        inside.then(|| self.group_byte(group) + (block << self.block_log))
    }

    pub(super) fn inode_number(&self, group: u32, in_group: u64) -> u64 {
        u64::from(group) << (self.group_log + self.inodes_log()) | in_group
    }

    /// Offset of an inode in bytes; `None` if the number is invalid.
    pub(super) fn inode_byte(&self, number: u64) -> Option<u64> {
        let within = number & ((1 << self.inodes_log()) - 1);
        Some(self.run(number >> self.inodes_log(), 1)? + (within << self.inode_log))
    }

    /// The location as stored in metadata blocks.
    pub(super) fn daddr(byte: u64) -> u64 {
        byte >> 9
    }

    /// Byte range of an internal log.
    pub(super) fn log(&self) -> Option<Range<u64>> {
        let start = (self.log_start != 0).then(|| self.run(self.log_start, self.log_blocks.into()))??;
        Some(start..start + (u64::from(self.log_blocks) << self.block_log))
    }
}
