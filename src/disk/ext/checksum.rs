//! Checksums of the `metadata_csum` feature: CRC-32C without the final inversion.
//!
//! Source: kernel, `Documentation/filesystems/ext4/checksums.rst`.

use super::inode;
use super::superblock::{Superblock, read_only};
use crate::disk::bytes::u16_at;

/// Initial value of every checksum.
pub(super) const START: u32 = u32::MAX;

/// Continues the checksum `so_far` over more bytes.
pub(super) fn continued(so_far: u32, bytes: &[u8]) -> u32 {
    // The crate inverts before and after; the two negations undo that.
    !crc32c::crc32c_append(!so_far, bytes)
}

/// Writes an inode's checksum into its bytes. `seed` is the filesystem's checksum seed.
pub(super) fn seal_inode(seed: u32, number: u32, bytes: &mut [u8]) {
    let has_high = has_high_half(bytes);
    bytes[inode::CHECKSUM_LOW..inode::CHECKSUM_LOW + 2].fill(0);
    if has_high {
        bytes[inode::CHECKSUM_HIGH..inode::CHECKSUM_HIGH + 2].fill(0);
    }
    let sum = continued(seed, &number.to_le_bytes());
    let sum = continued(sum, &bytes[inode::GENERATION..inode::GENERATION + 4]);
    let sum = continued(sum, bytes).to_le_bytes();
    bytes[inode::CHECKSUM_LOW..inode::CHECKSUM_LOW + 2].copy_from_slice(&sum[..2]);
    if has_high {
        bytes[inode::CHECKSUM_HIGH..inode::CHECKSUM_HIGH + 2].copy_from_slice(&sum[2..]);
    }
}

/// Inodes of 128 bytes, and those with a short extra part, store only the low half.
fn has_high_half(bytes: &[u8]) -> bool {
    bytes.len() > inode::BASE_SIZE
        && usize::from(u16_at(bytes, inode::EXTRA_SIZE)) >= inode::CHECKSUM_HIGH + 2 - inode::BASE_SIZE
}

/// Writes a group descriptor's checksum: the low half of the CRC-32C, or a CRC-16 if only `uninit_bg` is set.
pub(super) fn seal_descriptor(superblock: &Superblock, number: u32, bytes: &mut [u8]) {
    const CHECKSUM: usize = 0x1e;
    let number = number.to_le_bytes();
    let sum = if superblock.has_read_only(read_only::METADATA_CHECKSUM) {
        bytes[CHECKSUM..CHECKSUM + 2].fill(0);
        (continued(continued(superblock.checksum_seed, &number), bytes) & 0xffff) as u16
    } else {
        let crc = crc::Crc::<u16>::new(&crc::CRC_16_MODBUS);
        let mut digest = crc.digest();
        for part in [superblock.uuid.as_bytes(), &number[..], &bytes[..CHECKSUM], &bytes[CHECKSUM + 2..]] {
            digest.update(part);
        }
        digest.finalize()
    };
    bytes[CHECKSUM..CHECKSUM + 2].copy_from_slice(&sum.to_le_bytes());
}

/// Writes a superblock's checksum, which covers all bytes before it.
pub(super) fn seal_superblock(bytes: &mut [u8]) {
    const CHECKSUM: usize = 0x3fc;
    let sum = continued(START, &bytes[..CHECKSUM]);
    bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&sum.to_le_bytes());
}
