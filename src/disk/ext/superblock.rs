//! The superblock: the filesystem's geometry and features, validated before anything else uses them.
//!
//! Source: kernel, `Documentation/filesystems/ext4/super.rst`.

use super::checksum;
use crate::disk::bytes::{damaged, joined, read, u16_at, u32_at};
use crate::disk::source::{ReadError, Source};
use uuid::Uuid;

/// Bytes from the filesystem's start, for every block size.
pub(super) const SUPERBLOCK_AT: u64 = 1024;
/// Size in bytes.
pub(super) const SUPERBLOCK_SIZE: usize = 1024;
pub(super) const MAGIC: u16 = 0xef53;
pub(super) const MAGIC_AT: usize = 0x38;
/// 64 KiB, as a power of two in units of 1 KiB.
const LARGEST_BLOCK_LOG: u32 = 6;
/// The limit of mke2fs: smaller groups would consist of descriptors only.
const SMALLEST_GROUP: u64 = 256;
/// Smallest and largest size of a group descriptor, in bytes.
const DESCRIPTOR_SIZES: (usize, usize) = (32, 1024);

/// Features that a reader must support (`s_feature_incompat`).
pub(super) mod incompatible {
    pub(crate) const FILETYPE: u32 = 0x2;
    pub(crate) const RECOVER: u32 = 0x4;
    pub(crate) const JOURNAL_DEVICE: u32 = 0x8;
    pub(crate) const META_BG: u32 = 0x10;
    pub(crate) const EXTENTS: u32 = 0x40;
    pub(crate) const BITS_64: u32 = 0x80;
    pub(crate) const MMP: u32 = 0x100;
    pub(crate) const FLEX_BG: u32 = 0x200;
    pub(crate) const EA_INODE: u32 = 0x400;
    pub(crate) const CHECKSUM_SEED: u32 = 0x2000;
    pub(crate) const LARGE_DIRECTORY: u32 = 0x4000;
    pub(crate) const INLINE_DATA: u32 = 0x8000;
    pub(crate) const ENCRYPT: u32 = 0x1_0000;
    pub(crate) const CASEFOLD: u32 = 0x2_0000;
    pub(crate) const KNOWN: u32 = FILETYPE
        | RECOVER
        | META_BG
        | EXTENTS
        | BITS_64
        | MMP
        | FLEX_BG
        | EA_INODE
        | CHECKSUM_SEED
        | LARGE_DIRECTORY
        | INLINE_DATA
        | ENCRYPT
        | CASEFOLD;
}

/// Features that only a writer must support (`s_feature_ro_compat`), as far as they are used here.
pub(super) mod read_only {
    pub(crate) const SPARSE_SUPER: u32 = 0x1;
    pub(crate) const GROUP_CHECKSUM: u32 = 0x10;
    pub(crate) const BIGALLOC: u32 = 0x200;
    pub(crate) const METADATA_CHECKSUM: u32 = 0x400;
}

/// Optional features (`s_feature_compat`), as far as they are used here.
pub(super) mod compatible {
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
}

#[derive(Clone, Debug)]
pub(super) struct Superblock {
    /// In bytes, 1 KiB to 64 KiB.
    pub block_size: u64,
    pub blocks: u64,
    /// Block number where the first group starts: 1 with blocks of 1 KiB, otherwise 0.
    pub first_block: u64,
    /// Blocks per bit of the block bitmap.
    pub cluster_blocks: u64,
    pub group_blocks: u64,
    pub group_inodes: u32,
    /// Number of inodes: inodes per group times groups, at most 32 bits.
    pub inodes: u32,
    pub groups: u32,
    pub free_clusters: u64,
    /// Size in bytes.
    pub inode_size: usize,
    /// Size in bytes.
    pub descriptor_size: usize,
    /// Number of blocks after the descriptors of each copy that are reserved for more descriptors.
    pub reserved_descriptor_blocks: u64,
    pub first_meta_group: u32,
    /// The groups with backups, with the feature `sparse_super2`.
    pub backup_groups: [u32; 2],
    pub state: u16,
    pub label: Vec<u8>,
    pub uuid: Uuid,
    pub checksum_seed: u32,
    pub journal_inode: u32,
    pub orphan_inode: u32,
    pub quota_inodes: [u32; 3],
    /// Block number of the multi-mount protection; 0 if there is none.
    pub mmp_block: u64,
    compatible: u32,
    incompatible: u32,
    read_only: u32,
}

impl Superblock {
    pub(super) fn read(source: &dyn Source) -> Result<Superblock, ReadError> {
        let bytes = read(source, SUPERBLOCK_AT, SUPERBLOCK_SIZE)?;
        let magic = u16_at(&bytes, MAGIC_AT);
        if magic != MAGIC {
            return Err(fault(0x38, format!("the magic number is {magic:#x}, expected {MAGIC:#x}")));
        }
        let superblock = Superblock::parse(&bytes)?;
        superblock.check(source.size())?;
        Ok(superblock)
    }

    fn parse(bytes: &[u8]) -> Result<Superblock, ReadError> {
        // Revision 0 has no fields from 0x54 on.
        let dynamic = u32_at(bytes, 0x4c) >= 1;
        let later = |at: usize| if dynamic { u32_at(bytes, at) } else { 0 };
        let incompatible = later(0x60);
        let unknown = incompatible & !incompatible::KNOWN;
        if unknown != 0 {
            let what = if unknown & incompatible::JOURNAL_DEVICE != 0 {
                "external journal devices are not supported".to_owned()
            } else {
                format!("unsupported ext filesystem features: {unknown:#x}")
            };
            return Err(ReadError::Unsupported(what));
        }
        let read_only = later(0x64);
        let block_log = u32_at(bytes, 0x18);
        let cluster_log = if read_only & read_only::BIGALLOC != 0 { u32_at(bytes, 0x1c) } else { block_log };
        if block_log > LARGEST_BLOCK_LOG || cluster_log < block_log || cluster_log > 20 {
            return Err(fault(
                0x18,
                format!("block and cluster size are 2^{block_log} and 2^{cluster_log} KiB"),
            ));
        }
        let wide = incompatible & incompatible::BITS_64 != 0;
        let high = |at: usize| if wide { u32_at(bytes, at) } else { 0 };
        let uuid = Uuid::from_bytes(bytes[0x68..0x78].try_into().expect("slice of 16 bytes"));
        let checksum_seed = if incompatible & incompatible::CHECKSUM_SEED != 0 {
            u32_at(bytes, 0x270)
        } else {
            checksum::continued(checksum::START, uuid.as_bytes())
        };
        let label = &bytes[0x78..0x88];
        Ok(Superblock {
            block_size: 1024 << block_log,
            blocks: joined(u32_at(bytes, 0x4), high(0x150)),
            first_block: u64::from(u32_at(bytes, 0x14)),
            cluster_blocks: 1 << (cluster_log - block_log),
            group_blocks: u64::from(u32_at(bytes, 0x20)),
            group_inodes: u32_at(bytes, 0x28),
            inodes: u32_at(bytes, 0x0),
            groups: 0,
            free_clusters: joined(u32_at(bytes, 0xc), high(0x158)),
            inode_size: if dynamic { usize::from(u16_at(bytes, 0x58)) } else { super::inode::BASE_SIZE },
            descriptor_size: if wide { usize::from(u16_at(bytes, 0xfe)) } else { DESCRIPTOR_SIZES.0 },
            reserved_descriptor_blocks: u64::from(u16_at(bytes, 0xce)),
            first_meta_group: u32_at(bytes, 0x104),
            backup_groups: [u32_at(bytes, 0x24c), u32_at(bytes, 0x250)],
            state: u16_at(bytes, 0x3a),
            label: label.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
            uuid,
            checksum_seed,
            journal_inode: later(0xe0),
            orphan_inode: later(0x280),
            quota_inodes: [later(0x240), later(0x244), later(0x26c)],
            mmp_block: if incompatible & incompatible::MMP != 0 {
                joined(u32_at(bytes, 0x168), u32_at(bytes, 0x16c))
            } else {
                0
            },
            compatible: later(0x5c),
            incompatible,
            read_only,
        }
        .with_groups())
    }

    /// Computes the number of groups if the other numbers are plausible; `check` reports those that are not.
    fn with_groups(mut self) -> Superblock {
        let blocks = self.blocks.saturating_sub(self.first_block);
        let groups = if self.group_blocks == 0 { 0 } else { blocks.div_ceil(self.group_blocks) };
        self.groups = u32::try_from(groups).unwrap_or(0);
        self
    }

    fn check(&self, size: u64) -> Result<(), ReadError> {
        let bits = self.block_size * 8;
        let most = bits * self.cluster_blocks;
        if !(SMALLEST_GROUP..=most).contains(&self.group_blocks)
            || !self.group_blocks.is_multiple_of(self.cluster_blocks)
        {
            let problem =
                format!("{} blocks per group, expected {SMALLEST_GROUP} to {most}", self.group_blocks);
            return Err(fault(0x20, problem));
        }
        let length = self.blocks.checked_mul(self.block_size);
        if self.groups == 0 || length.is_none_or(|length| length > size) {
            return Err(fault(
                0x4,
                format!("{} blocks of {} bytes, but only {size} bytes exist", self.blocks, self.block_size),
            ));
        }
        if self.first_block > 1 {
            return Err(fault(
                0x14,
                format!("the first data block is {}, expected 0 or 1", self.first_block),
            ));
        }
        if self.group_inodes == 0 || u64::from(self.group_inodes) > bits {
            return Err(fault(0x28, format!("{} inodes per group, expected 1 to {bits}", self.group_inodes)));
        }
        let inodes = u64::from(self.groups) * u64::from(self.group_inodes);
        if u64::from(self.inodes) != inodes {
            let problem = format!("{} inodes, expected {inodes} in {} groups", self.inodes, self.groups);
            return Err(fault(0x0, problem));
        }
        let fits = self.inode_size >= super::inode::BASE_SIZE && self.inode_size as u64 <= self.block_size;
        if !fits || !self.inode_size.is_power_of_two() {
            return Err(fault(0x58, format!("inode size of {} bytes", self.inode_size)));
        }
        let (smallest, largest) = DESCRIPTOR_SIZES;
        if !(smallest..=largest).contains(&self.descriptor_size) || !self.descriptor_size.is_power_of_two() {
            return Err(fault(0xfe, format!("group descriptor size of {} bytes", self.descriptor_size)));
        }
        Ok(())
    }

    pub(super) fn has_incompatible(&self, feature: u32) -> bool {
        self.incompatible & feature != 0
    }

    pub(super) fn has_read_only(&self, feature: u32) -> bool {
        self.read_only & feature != 0
    }

    pub(super) fn has_compatible(&self, feature: u32) -> bool {
        self.compatible & feature != 0
    }

    /// Whether group descriptors have checksums. Without them, the flags are not valid.
    pub(super) fn has_group_flags(&self) -> bool {
        self.has_read_only(read_only::GROUP_CHECKSUM | read_only::METADATA_CHECKSUM)
    }

    /// Size in bytes.
    pub(super) fn cluster_size(&self) -> u64 {
        self.cluster_blocks * self.block_size
    }

    /// Blocks of one group's inode table.
    pub(super) fn inode_table_blocks(&self) -> u64 {
        (u64::from(self.group_inodes) * self.inode_size as u64).div_ceil(self.block_size)
    }

    pub(super) fn descriptors_per_block(&self) -> u64 {
        self.block_size / self.descriptor_size as u64
    }

    pub(super) fn group_start(&self, group: u32) -> u64 {
        self.first_block + u64::from(group) * self.group_blocks
    }
}

fn fault(field: u64, problem: String) -> ReadError {
    damaged("superblock", SUPERBLOCK_AT + field, problem)
}
