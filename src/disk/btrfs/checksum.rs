//! Checksums of superblocks, tree blocks and data sectors.

use sha2::Digest;
use std::hash::Hasher;

/// `csum_type` of the superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChecksumType {
    Crc32c,
    Xxhash64,
    Sha256,
    Blake2b256,
}

impl ChecksumType {
    pub(super) fn from_number(number: u16) -> Option<ChecksumType> {
        match number {
            0 => Some(ChecksumType::Crc32c),
            1 => Some(ChecksumType::Xxhash64),
            2 => Some(ChecksumType::Sha256),
            3 => Some(ChecksumType::Blake2b256),
            _ => None,
        }
    }

    pub(super) fn number(self) -> u16 {
        match self {
            ChecksumType::Crc32c => 0,
            ChecksumType::Xxhash64 => 1,
            ChecksumType::Sha256 => 2,
            ChecksumType::Blake2b256 => 3,
        }
    }

    /// Size in bytes.
    pub(super) fn size(self) -> usize {
        match self {
            ChecksumType::Crc32c => 4,
            ChecksumType::Xxhash64 => 8,
            ChecksumType::Sha256 | ChecksumType::Blake2b256 => 32,
        }
    }

    /// The checksum, padded with zeros after its [`size`](Self::size).
    pub(super) fn of(self, bytes: &[u8]) -> [u8; 32] {
        let mut sum = [0; 32];
        match self {
            ChecksumType::Crc32c => sum[..4].copy_from_slice(&crc32c::crc32c(bytes).to_le_bytes()),
            ChecksumType::Xxhash64 => {
                let mut hasher = twox_hash::XxHash64::with_seed(0);
                hasher.write(bytes);
                sum[..8].copy_from_slice(&hasher.finish().to_le_bytes());
            }
            ChecksumType::Sha256 => sum = sha2::Sha256::digest(bytes).into(),
            ChecksumType::Blake2b256 => {
                sum = blake2::Blake2b::<blake2::digest::consts::U32>::digest(bytes).into();
            }
        }
        sum
    }
}

/// The kernel's `crc32c()`: starts from a seed, without the inversions before and after.
pub(super) fn raw_crc32c(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_the_kernel() {
        let hex = |kind: ChecksumType| -> String {
            kind.of(b"abc")[..kind.size()].iter().map(|byte| format!("{byte:02x}")).collect()
        };
        assert_eq!(hex(ChecksumType::Crc32c), "b73f4b36");
        assert_eq!(hex(ChecksumType::Xxhash64), "990977adf52cbc44");
        assert!(hex(ChecksumType::Sha256).starts_with("ba7816bf8f01cfea"));
        assert!(hex(ChecksumType::Blake2b256).starts_with("bddd813c634239723171ef3fee98579b"));
    }
}
