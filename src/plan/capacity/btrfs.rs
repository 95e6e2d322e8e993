//! Forecasts the capacity of a btrfs filesystem.

const MIB: u64 = 1 << 20;
/// Bytes per 4096-byte sector for the default checksum of mkfs.btrfs.
const CHECKSUM: u64 = 4;

/// The options of `mkfs.btrfs` that determine the use of space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profiles {
    /// 2 for DUP (the default on one device), 1 for single.
    pub metadata_copies: u64,
    /// 1 for single (the default).
    pub data_copies: u64,
    /// `--mixed`: data and metadata share block groups and have the same number of copies.
    pub mixed: bool,
    /// In bytes, 16,384 by default; 4096 with mixed block groups.
    pub node_size: u64,
}

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles { metadata_copies: 2, data_copies: 1, mixed: false, node_size: 16_384 }
    }
}

/// The guaranteed capacity for a few large files of an empty filesystem of `size` bytes. For each further file, add 1
/// KiB and twice its name.
///
/// The first MiB and the superblocks take 4 MiB. System chunks take 1 MiB and metadata chunks 6 MiB per copy. Checksums
/// take their size plus one eighth in metadata. Rounding loses up to 2 MiB per copy of metadata and 1 MiB per copy of
/// data.
pub fn capacity(size: u64, profiles: Profiles) -> u64 {
    let Profiles { metadata_copies, data_copies, .. } = profiles;
    let superblocks = 4 * MIB;
    let fixed = superblocks + metadata_copies * (MIB + 6 * MIB + 2 * MIB) + data_copies * MIB;
    let rest = u128::from(size.saturating_sub(fixed));
    // The space of a data sector on the device, in eighths of a byte.
    let sector = 8 * 4096 * u128::from(data_copies) + 9 * u128::from(CHECKSUM * metadata_copies);
    let bytes = rest * 8 * 4096 / sector;
    bytes as u64 / 4096 * 4096
}

/// The minimum size that `mkfs.btrfs` accepts, in bytes.
///
/// Measured with btrfs-progs 6.2 (function `btrfs_min_dev_size`). Versions differ slightly.
pub fn minimum_size(profiles: Profiles) -> u64 {
    match profiles {
        // mkfs.btrfs checks for only 16 MiB, but then has no space for its chunks.
        Profiles { mixed: true, metadata_copies: 2, .. } => 157 * MIB,
        Profiles { mixed: true, node_size, .. } => 2 * (4 * MIB + node_size * 1024),
        Profiles { metadata_copies: 1, data_copies: 1, .. } => 45 * MIB,
        Profiles { metadata_copies: 1, .. } => 165 * MIB,
        Profiles { data_copies: 1, .. } => 109 * MIB,
        _ => 229 * MIB,
    }
}
