//! Constants of the format. Source: xfs_format.h, xfs_da_format.h.

/// Inodes per chunk.
pub(super) use crate::plan::capacity::xfs::CHUNK;

/// "XFSB".
pub(super) const SUPERBLOCK_MAGIC: u32 = 0x5846_5342;
/// Bytes of the superblock that are in use, up to and including `sb_meta_uuid`.
pub(super) const SUPERBLOCK_LENGTH: usize = 264;

/// Group headers, in sectors from the group's start; the superblock's copy is in sector 0.
pub(super) const AGF_SECTOR: u64 = 1;
pub(super) const AGI_SECTOR: u64 = 2;
/// "XAGF", "XAGI".
pub(super) const AGF_MAGIC: u32 = 0x5841_4746;
pub(super) const AGI_MAGIC: u32 = 0x5841_4749;

/// Bits of `sb_features_ro_compat`.
pub(super) mod ro_compat {
    pub(crate) const FINOBT: u32 = 1;
    pub(crate) const REFLINK: u32 = 4;
    pub(crate) const INOBTCOUNT: u32 = 8;
}

/// Bits of `sb_features_incompat`.
pub(super) mod incompat {
    pub(crate) const FTYPE: u32 = 1;
    pub(crate) const SPARSE_INODES: u32 = 2;
    pub(crate) const META_UUID: u32 = 4;
    pub(crate) const BIGTIME: u32 = 8;
    pub(crate) const NEEDS_REPAIR: u32 = 16;
    pub(crate) const NREXT64: u32 = 32;
    pub(crate) const EXCHANGE_RANGE: u32 = 64;
    pub(crate) const PARENT: u32 = 128;
}

/// Magic numbers of btree blocks: (version 5, version 4).
pub(super) const FREE_BY_START_MAGIC: (u32, u32) = (0x4142_3342, 0x4142_5442);
pub(super) const FREE_BY_LENGTH_MAGIC: (u32, u32) = (0x4142_3343, 0x4142_5443);
pub(super) const INODES_MAGIC: (u32, u32) = (0x4941_4233, 0x4941_4254);
pub(super) const FREE_INODES_MAGIC: (u32, u32) = (0x4649_4233, 0x4649_4254);
pub(super) const EXTENTS_MAGIC: (u32, u32) = (0x424d_4133, 0x424d_4150);
/// "R3FC" and "RMB3"; not in version 4. Source: XFS_REFC_CRC_MAGIC, XFS_RMAP_CRC_MAGIC.
pub(super) const REFERENCES_MAGIC: u32 = 0x5233_4643;
pub(super) const OWNERS_MAGIC: u32 = 0x524d_4233;

/// Magic numbers of directory blocks: (version 5, version 4).
pub(super) const DIRECTORY_BLOCK_MAGIC: (u32, u32) = (0x5844_4233, 0x5844_3242);
pub(super) const DIRECTORY_DATA_MAGIC: (u32, u32) = (0x5844_4433, 0x5844_3244);
pub(super) const DIRECTORY_FREE_MAGIC: (u32, u32) = (0x5844_4633, 0x5844_3246);
/// The only index block of a directory in "leaf" form, and an index leaf in "node" form.
pub(super) const DIRECTORY_LEAF1_MAGIC: (u16, u16) = (0x3df1, 0xd2f1);
pub(super) const DIRECTORY_LEAFN_MAGIC: (u16, u16) = (0x3dff, 0xd2ff);
/// Inner block of an index.
pub(super) const INDEX_NODE_MAGIC: (u16, u16) = (0x3ebe, 0xfebe);
pub(super) const ATTRIBUTE_LEAF_MAGIC: (u16, u16) = (0x3bee, 0xfbee);
/// "XARM" and "XSLM"; version 4 has no header there.
pub(super) const REMOTE_VALUE_MAGIC: u32 = 0x5841_524d;
pub(super) const REMOTE_LINK_MAGIC: u32 = 0x5853_4c4d;

/// "IN".
pub(super) const INODE_MAGIC: u16 = 0x494e;
/// Bytes of an inode before its forks: version 3, and earlier versions.
pub(super) const INODE_CORE: usize = 176;
pub(super) const OLD_INODE_CORE: usize = 100;
/// Offset of an inode's checksum.
pub(super) const INODE_CRC: usize = 100;

/// Bits of `di_flags` and `di_flags2`.
pub(super) const ON_REALTIME_DEVICE: u16 = 1;
pub(super) const FLAG2_BIGTIME: u64 = 8;
pub(super) const FLAG2_NREXT64: u64 = 16;

/// The format of a fork: `di_format`, `di_aformat`.
pub(super) mod fork {
    pub(crate) const DEVICE: u8 = 0;
    pub(crate) const LOCAL: u8 = 1;
    pub(crate) const EXTENTS: u8 = 2;
    pub(crate) const BTREE: u8 = 3;
}

/// The most blocks of one extent: 21 bits.
pub(super) const MAX_EXTENT: u64 = (1 << 21) - 1;
/// Size of an extent record in bytes.
pub(super) const EXTENT_RECORD: usize = 16;
/// Upper bound for the levels of any btree.
pub(super) const MAX_LEVELS: u16 = 24;

/// Offsets in a directory of its index and of its free space list, in bytes.
pub(super) const DIRECTORY_INDEX_OFFSET: u64 = 1 << 35;
pub(super) const DIRECTORY_FREE_OFFSET: u64 = 1 << 36;
/// Marks an unused range of a directory's data block, in place of an inode number.
pub(super) const UNUSED_TAG: u16 = 0xffff;

/// Flags of an attribute: value in the leaf, the three namespaces, incomplete.
pub(super) mod attribute {
    pub(crate) const LOCAL: u8 = 1;
    pub(crate) const ROOT: u8 = 2;
    pub(crate) const SECURE: u8 = 4;
    pub(crate) const PARENT: u8 = 8;
    pub(crate) const INCOMPLETE: u8 = 0x80;
    /// The longest value in bytes. Source: XFS_XATTR_SIZE_MAX.
    pub(crate) const MAX_VALUE: usize = 65_536;
}

/// Start of "bigtime" timestamps, in seconds before 1970.
pub(super) const BIGTIME_EPOCH: i64 = 1 << 31;
pub(super) const NANOSECONDS: i64 = 1_000_000_000;

/// The longest symbolic link target that the kernel accepts, in bytes. Source: XFS_SYMLINK_MAXLEN.
pub(super) const LINK_MAX: usize = 1024;
