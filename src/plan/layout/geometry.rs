//! Sector sizes, and the blocks that a GPT reserves.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The address of a logical block, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Lba(pub u64);

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The size of a logical block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("enum" = [512, 4096])))]
#[serde(try_from = "u64", into = "u64")]
pub enum SectorSize {
    #[default]
    B512,
    B4096,
}

impl SectorSize {
    pub const fn bytes(self) -> u64 {
        match self {
            SectorSize::B512 => 512,
            SectorSize::B4096 => 4096,
        }
    }
}

impl From<SectorSize> for u64 {
    fn from(size: SectorSize) -> u64 {
        size.bytes()
    }
}

impl TryFrom<u64> for SectorSize {
    type Error = String;
    fn try_from(bytes: u64) -> Result<Self, String> {
        match bytes {
            512 => Ok(SectorSize::B512),
            4096 => Ok(SectorSize::B4096),
            other => Err(format!("unsupported sector size {other}, expected 512 or 4096")),
        }
    }
}

/// 128 entries of 128 bytes, in sectors. Source: UEFI 2.10, section 5.3.1 (at least 16,384 bytes).
const fn entry_array_sectors(sector: SectorSize) -> u64 {
    128 * 128 / sector.bytes()
}

/// First LBA that a partition may use, after the protective MBR, the header and the entry array: 34 with
/// 512-byte sectors, 6 with 4096. Source: UEFI 2.10, section 5.3.
pub const fn first_usable(sector: SectorSize) -> Lba {
    Lba(2 + entry_array_sectors(sector))
}

/// Last LBA that a partition may use (inclusive), before the backup entry array and the backup header in the
/// disk's last sector. `None` if the disk is too small for a GPT.
pub const fn last_usable(sector: SectorSize, disk_sectors: u64) -> Option<Lba> {
    match disk_sectors.checked_sub(2 + entry_array_sectors(sector)) {
        Some(last) if last >= first_usable(sector).0 => Some(Lba(last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_blocks_match_the_specification() {
        assert_eq!(first_usable(SectorSize::B512), Lba(34));
        assert_eq!(first_usable(SectorSize::B4096), Lba(6));
        assert_eq!(last_usable(SectorSize::B512, 4096), Some(Lba(4096 - 34)));
        assert_eq!(last_usable(SectorSize::B512, 60), None);
    }
}
