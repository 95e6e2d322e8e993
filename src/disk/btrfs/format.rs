//! Constants of the format: keys, tree and item types, feature and profile flags. Names are those of `btrfs_tree.h`.

use super::bytes::{In, Out};
use super::checksum::raw_crc32c;

/// The key of an item, ordered as in the trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub object: u64,
    pub kind: u8,
    pub offset: u64,
}

impl Key {
    /// On-disk size in bytes.
    pub(super) const SIZE: usize = 17;

    pub(super) fn new(object: u64, kind: u8, offset: u64) -> Key {
        Key { object, kind, offset }
    }

    pub(super) fn parse(input: &mut In) -> Option<Key> {
        Some(Key { object: input.u64()?, kind: input.u8()?, offset: input.u64()? })
    }

    pub(super) fn encode(self) -> [u8; Key::SIZE] {
        let bytes = Out::new().u64(self.object).u8(self.kind).u64(self.offset).done();
        bytes.try_into().expect("8 + 1 + 8 bytes")
    }
}

/// Trees and other fixed objects.
pub(super) mod object {
    pub(crate) const ROOT_TREE: u64 = 1;
    pub(crate) const EXTENT_TREE: u64 = 2;
    pub(crate) const CHUNK_TREE: u64 = 3;
    pub(crate) const DEV_TREE: u64 = 4;
    pub(crate) const FS_TREE: u64 = 5;
    /// The directory in the root tree that refers to the default subvolume.
    pub(crate) const ROOT_TREE_DIR: u64 = 6;
    pub(crate) const CSUM_TREE: u64 = 7;
    pub(crate) const QUOTA_TREE: u64 = 8;
    pub(crate) const UUID_TREE: u64 = 9;
    pub(crate) const FREE_SPACE_TREE: u64 = 10;
    pub(crate) const BLOCK_GROUP_TREE: u64 = 11;
    pub(crate) const DATA_RELOC_TREE: u64 = -9_i64 as u64;
    pub(crate) const EXTENT_CSUM: u64 = -10_i64 as u64;
    /// The first inode of a subvolume, its root directory; also the object of all chunks.
    pub(crate) const FIRST_FREE: u64 = 256;
    pub(crate) const FIRST_CHUNK: u64 = 256;
    pub(crate) const DEV_ITEMS: u64 = 1;
    pub(crate) const LAST_FREE: u64 = -256_i64 as u64;
}

/// Item types.
pub(super) mod kind {
    pub(crate) const INODE_ITEM: u8 = 1;
    pub(crate) const INODE_REF: u8 = 12;
    pub(crate) const INODE_EXTREF: u8 = 13;
    pub(crate) const XATTR_ITEM: u8 = 24;
    pub(crate) const DIR_ITEM: u8 = 84;
    pub(crate) const DIR_INDEX: u8 = 96;
    pub(crate) const EXTENT_DATA: u8 = 108;
    pub(crate) const EXTENT_CSUM: u8 = 128;
    pub(crate) const ROOT_ITEM: u8 = 132;
    pub(crate) const ROOT_REF: u8 = 156;
    pub(crate) const EXTENT_ITEM: u8 = 168;
    pub(crate) const METADATA_ITEM: u8 = 169;
    pub(crate) const TREE_BLOCK_REF: u8 = 176;
    pub(crate) const EXTENT_DATA_REF: u8 = 178;
    pub(crate) const BLOCK_GROUP_ITEM: u8 = 192;
    pub(crate) const FREE_SPACE_INFO: u8 = 198;
    pub(crate) const FREE_SPACE_EXTENT: u8 = 199;
    pub(crate) const DEV_EXTENT: u8 = 204;
    pub(crate) const DEV_ITEM: u8 = 216;
    pub(crate) const CHUNK_ITEM: u8 = 228;
    pub(crate) const UUID_SUBVOL: u8 = 251;
}

/// Directory entry types.
pub(super) mod entry {
    pub(crate) const FILE: u8 = 1;
    pub(crate) const DIRECTORY: u8 = 2;
    pub(crate) const CHARACTER_DEVICE: u8 = 3;
    pub(crate) const BLOCK_DEVICE: u8 = 4;
    pub(crate) const PIPE: u8 = 5;
    pub(crate) const SOCKET: u8 = 6;
    pub(crate) const LINK: u8 = 7;
    pub(crate) const ATTRIBUTE: u8 = 8;
}

/// `incompat_flags` of the superblock.
pub(super) mod incompat {
    pub(crate) const MIXED_BACKREF: u64 = 1 << 0;
    pub(crate) const DEFAULT_SUBVOL: u64 = 1 << 1;
    pub(crate) const MIXED_GROUPS: u64 = 1 << 2;
    pub(crate) const COMPRESS_LZO: u64 = 1 << 3;
    pub(crate) const COMPRESS_ZSTD: u64 = 1 << 4;
    pub(crate) const BIG_METADATA: u64 = 1 << 5;
    pub(crate) const EXTENDED_IREF: u64 = 1 << 6;
    pub(crate) const SKINNY_METADATA: u64 = 1 << 8;
    pub(crate) const NO_HOLES: u64 = 1 << 9;
    pub(crate) const METADATA_UUID: u64 = 1 << 10;
    pub(crate) const SIMPLE_QUOTA: u64 = 1 << 16;

    /// Names by bit, for messages.
    pub(crate) const NAMES: [(u64, &str); 17] = [
        (MIXED_BACKREF, "mixed-backref"),
        (DEFAULT_SUBVOL, "default-subvol"),
        (MIXED_GROUPS, "mixed-bg"),
        (COMPRESS_LZO, "compress-lzo"),
        (COMPRESS_ZSTD, "compress-zstd"),
        (BIG_METADATA, "big-metadata"),
        (EXTENDED_IREF, "extref"),
        (1 << 7, "raid56"),
        (SKINNY_METADATA, "skinny-metadata"),
        (NO_HOLES, "no-holes"),
        (METADATA_UUID, "metadata-uuid"),
        (1 << 11, "raid1c34"),
        (1 << 12, "zoned"),
        (1 << 13, "extent-tree-v2"),
        (1 << 14, "raid-stripe-tree"),
        (SIMPLE_QUOTA, "squota"),
        (1 << 17, "remap-tree"),
    ];
}

/// `compat_ro_flags` of the superblock.
pub(super) mod compat_ro {
    pub(crate) const FREE_SPACE_TREE: u64 = 1 << 0;
    pub(crate) const FREE_SPACE_TREE_VALID: u64 = 1 << 1;
    pub(crate) const VERITY: u64 = 1 << 2;
    pub(crate) const BLOCK_GROUP_TREE: u64 = 1 << 3;

    pub(crate) const NAMES: [(u64, &str); 4] = [
        (FREE_SPACE_TREE, "free-space-tree"),
        (FREE_SPACE_TREE_VALID, "free-space-tree-valid"),
        (VERITY, "verity"),
        (BLOCK_GROUP_TREE, "block-group-tree"),
    ];
}

/// The name of the lowest flag that is set in `flags` but not in `known`.
pub(super) fn unknown_feature(flags: u64, known: u64, names: &[(u64, &str)]) -> Option<String> {
    let unknown = flags & !known;
    if unknown == 0 {
        return None;
    }
    let bit = unknown & unknown.wrapping_neg();
    let name = names.iter().find(|(flag, _)| *flag == bit).map(|(_, name)| (*name).to_owned());
    Some(name.unwrap_or_else(|| format!("number {}", bit.trailing_zeros())))
}

/// Chunk types and profiles.
pub(super) mod profile {
    pub(crate) const DATA: u64 = 1 << 0;
    pub(crate) const SYSTEM: u64 = 1 << 1;
    pub(crate) const METADATA: u64 = 1 << 2;
    pub(crate) const DUP: u64 = 1 << 5;
    /// The bits for the chunk's type.
    pub(crate) const TYPES: u64 = DATA | SYSTEM | METADATA;
    /// All chunk bits that this module supports.
    pub(crate) const KNOWN: u64 = TYPES | DUP;
}

/// `flags` of an extent.
pub(super) mod extent {
    pub(crate) const DATA: u64 = 1;
    pub(crate) const TREE_BLOCK: u64 = 2;
}

/// `type` of a file's extent.
pub(super) mod file_extent {
    pub(crate) const INLINE: u8 = 0;
    pub(crate) const REGULAR: u8 = 1;
    pub(crate) const PREALLOCATED: u8 = 2;
    /// Bytes of the item before the data of an inline extent.
    pub(crate) const HEADER: usize = 21;
}

/// Stripe length in bytes.
pub(super) const STRIPE_LENGTH: u64 = 64 << 10;

/// Chunks start at this byte or later.
pub(super) const RESERVED: u64 = 1 << 20;

/// The longest extent that the kernel creates, in bytes. Source: `BTRFS_MAX_EXTENT_SIZE`.
pub(super) const MAX_EXTENT: u64 = 128 << 20;

/// Upper bound (exclusive) of a root's level. Source: `BTRFS_MAX_LEVEL`.
pub(super) const MAX_LEVEL: u8 = 8;

/// Key offset of a name's DIR_ITEM or an attribute's XATTR_ITEM. Source: `btrfs_name_hash`.
pub(super) fn name_hash(name: &[u8]) -> u64 {
    raw_crc32c(!1, name).into()
}

/// Key offset of a name's INODE_EXTREF. Source: `btrfs_extref_hash`.
pub(super) fn extref_hash(parent: u64, name: &[u8]) -> u64 {
    // The kernel truncates the seed to 32 bits, too.
    raw_crc32c(parent as u32, name).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_hashes_match_mkfs() {
        assert_eq!(name_hash(b"default"), 2_378_154_706);
    }

    #[test]
    fn unknown_features_have_names() {
        assert_eq!(unknown_feature(0x1003, 3, &incompat::NAMES).as_deref(), Some("zoned"));
        assert_eq!(unknown_feature(1 << 40, 3, &incompat::NAMES).as_deref(), Some("number 40"));
        assert_eq!(unknown_feature(3, 3, &incompat::NAMES), None);
    }
}
