//! A forecast of space, before there is a filesystem.

const MIB: u64 = 1 << 20;
/// Bytes for each sector of 4096 bytes, with the checksum that mkfs.btrfs takes by itself.
const CHECKSUM: u64 = 4;

/// What the options of `mkfs.btrfs` say of the use of space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profiles {
    /// 2 for DUP (the default on one device), 1 for single.
    pub metadata_copies: u64,
    /// 1 for single (the default).
    pub data_copies: u64,
    /// `--mixed`: data and metadata share block groups; both copies are then the same number.
    pub mixed: bool,
    /// In bytes, 16,384 by default; 4096 with mixed block groups.
    pub node_size: u64,
}

impl Default for Profiles {
    fn default() -> Profiles {
        Profiles { metadata_copies: 2, data_copies: 1, mixed: false, node_size: 16_384 }
    }
}

/// How many bytes of large files an empty filesystem of `size` bytes takes for sure, of a few files that is: for each
/// further one count 1 KiB and its name twice.
///
/// The rule: 2 MiB go to the first MiB and a superblock each, 1 MiB and its copy to system, 6 MiB and their copy to
/// metadata, an eighth more than the data's checksums to metadata, too, and 1 MiB of every kind is lost to rounding.
pub fn capacity(size: u64, profiles: Profiles) -> u64 {
    let Profiles { metadata_copies, data_copies, .. } = profiles;
    let superblocks = 4 * MIB;
    let fixed = superblocks + metadata_copies * (MIB + 6 * MIB + 2 * MIB) + data_copies * MIB;
    let rest = u128::from(size.saturating_sub(fixed));
    // In eighths of a byte, what a sector of data takes on the device.
    let sector = 8 * 4096 * u128::from(data_copies) + 9 * u128::from(CHECKSUM * metadata_copies);
    let bytes = rest * 8 * 4096 / sector;
    bytes as u64 / 4096 * 4096
}

/// The least size in bytes for which `mkfs.btrfs` makes a filesystem.
///
/// Measured with btrfs-progs 6.2 (its function `btrfs_min_dev_size`); versions differ by a little.
pub fn minimum_size(profiles: Profiles) -> u64 {
    match profiles {
        // It asks for 16 MiB, but then does not find the room for its chunks.
        Profiles { mixed: true, metadata_copies: 2, .. } => 157 * MIB,
        Profiles { mixed: true, node_size, .. } => 2 * (4 * MIB + node_size * 1024),
        Profiles { metadata_copies: 1, data_copies: 1, .. } => 45 * MIB,
        Profiles { metadata_copies: 1, .. } => 165 * MIB,
        Profiles { data_copies: 1, .. } => 109 * MIB,
        _ => 229 * MIB,
    }
}
