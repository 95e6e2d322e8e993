//! Numbers of the format that several files need. Source: xfs_format.h, xfs_da_format.h.

/// "XFSB".
pub const SUPERBLOCK_MAGIC: u32 = 0x5846_5342;
/// Bytes of the superblock that have a meaning, up to and with `sb_meta_uuid`.
pub const SUPERBLOCK_LENGTH: usize = 264;

/// Group headers, counted in sectors from the group's start; the superblock's copy is in sector 0.
pub const AGF_SECTOR: u64 = 1;
pub const AGI_SECTOR: u64 = 2;
/// "XAGF", "XAGI".
pub const AGF_MAGIC: u32 = 0x5841_4746;
pub const AGI_MAGIC: u32 = 0x5841_4749;

/// Bits of `sb_features_ro_compat`.
pub mod ro_compat {
    pub const FINOBT: u32 = 1;
    pub const REFLINK: u32 = 4;
    pub const INOBTCOUNT: u32 = 8;
}

/// Bits of `sb_features_incompat`.
pub mod incompat {
    pub const FTYPE: u32 = 1;
    pub const SPARSE_INODES: u32 = 2;
    pub const META_UUID: u32 = 4;
    pub const BIGTIME: u32 = 8;
    pub const NEEDS_REPAIR: u32 = 16;
    pub const NREXT64: u32 = 32;
    pub const EXCHANGE_RANGE: u32 = 64;
    pub const PARENT: u32 = 128;
}

/// Magics of btree blocks: (version 5, version 4).
pub const FREE_BY_START_MAGIC: (u32, u32) = (0x4142_3342, 0x4142_5442);
pub const FREE_BY_LENGTH_MAGIC: (u32, u32) = (0x4142_3343, 0x4142_5443);
pub const INODES_MAGIC: (u32, u32) = (0x4941_4233, 0x4941_4254);
pub const FREE_INODES_MAGIC: (u32, u32) = (0x4649_4233, 0x4649_4254);
pub const EXTENTS_MAGIC: (u32, u32) = (0x424d_4133, 0x424d_4150);
/// "R3FC" and "RMB3", which version 4 does not have. Source: XFS_REFC_CRC_MAGIC, XFS_RMAP_CRC_MAGIC.
pub const REFERENCES_MAGIC: u32 = 0x5233_4643;
pub const OWNERS_MAGIC: u32 = 0x524d_4233;

/// Magics of blocks of directories: (version 5, version 4).
pub const DIRECTORY_BLOCK_MAGIC: (u32, u32) = (0x5844_4233, 0x5844_3242);
pub const DIRECTORY_DATA_MAGIC: (u32, u32) = (0x5844_4433, 0x5844_3244);
pub const DIRECTORY_FREE_MAGIC: (u32, u32) = (0x5844_4633, 0x5844_3246);
/// The one index block of a directory of "leaf" form, and one of several in "node" form.
pub const DIRECTORY_LEAF1_MAGIC: (u16, u16) = (0x3df1, 0xd2f1);
pub const DIRECTORY_LEAFN_MAGIC: (u16, u16) = (0x3dff, 0xd2ff);
/// Inner block of an index.
pub const INDEX_NODE_MAGIC: (u16, u16) = (0x3ebe, 0xfebe);
pub const ATTRIBUTE_LEAF_MAGIC: (u16, u16) = (0x3bee, 0xfbee);
/// "XARM" and "XSLM"; version 4 has bare bytes there.
pub const REMOTE_VALUE_MAGIC: u32 = 0x5841_524d;
pub const REMOTE_LINK_MAGIC: u32 = 0x5853_4c4d;

/// Inodes of a chunk.
pub const CHUNK: u64 = 64;
/// "IN".
pub const INODE_MAGIC: u16 = 0x494e;
/// Bytes of an inode before its forks, version 3 and before.
pub const INODE_CORE: usize = 176;
pub const OLD_INODE_CORE: usize = 100;
/// Where an inode's checksum lies.
pub const INODE_CRC: usize = 100;

/// Bits of `di_flags` and `di_flags2`.
pub const ON_REALTIME_DEVICE: u16 = 1;
pub const FLAG2_BIGTIME: u64 = 8;
pub const FLAG2_NREXT64: u64 = 16;

/// How a fork is kept: `di_format`, `di_aformat`.
pub mod fork {
    pub const DEVICE: u8 = 0;
    pub const LOCAL: u8 = 1;
    pub const EXTENTS: u8 = 2;
    pub const BTREE: u8 = 3;
}

/// Blocks that one extent can have: 21 bits.
pub const MAX_EXTENT: u64 = (1 << 21) - 1;
/// Bytes of an extent's record.
pub const EXTENT_RECORD: usize = 16;
/// Levels that no btree of any kind exceeds.
pub const MAX_LEVELS: u16 = 24;

/// Bytes into a directory where its index begins, and its list of free space.
pub const DIRECTORY_INDEX_OFFSET: u64 = 1 << 35;
pub const DIRECTORY_FREE_OFFSET: u64 = 1 << 36;
/// Marks an unused range of a directory's data block, in place of an inode number.
pub const UNUSED_TAG: u16 = 0xffff;

/// Flags of an attribute: value in the leaf, the three namespaces, half-written.
pub mod attribute {
    pub const LOCAL: u8 = 1;
    pub const ROOT: u8 = 2;
    pub const SECURE: u8 = 4;
    pub const PARENT: u8 = 8;
    pub const INCOMPLETE: u8 = 0x80;
    /// The longest value. Source: XFS_XATTR_SIZE_MAX.
    pub const MAX_VALUE: usize = 65_536;
}

/// Seconds before 1970 where "bigtime" begins to count.
pub const BIGTIME_EPOCH: i64 = 1 << 31;
pub const NANOSECONDS: i64 = 1_000_000_000;

/// Bytes of the longest target of a symbolic link that a kernel takes. Source: XFS_SYMLINK_MAXLEN.
pub const LINK_MAX: usize = 1024;
