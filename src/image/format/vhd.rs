//! Fixed VHD: the raw bytes followed by a footer of 512 bytes. Source: Virtual Hard Disk Image Format Specification,
//! October 11, 2006, "Hard Disk Footer Format".

use crate::template::Bytes;
use uuid::Uuid;

pub(super) const FOOTER: u64 = 512;
/// Azure requires a size in multiples of this. Source: Azure, "Prepare a Windows VHD or VHDX", "fixed size, a whole
/// number of MiB".
pub(super) const UNIT: u64 = Bytes::MIB;
/// 2000-01-01T00:00:00Z, the epoch of the format.
const EPOCH_2000: u64 = 946_684_800;

/// Returns the footer of a disk of `size` bytes. `time` is in seconds since 1970.
pub(super) fn footer(size: u64, id: Uuid, time: u64) -> [u8; FOOTER as usize] {
    let mut footer = [0; FOOTER as usize];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"conectix");
    // Features: the reserved bit, which is always set. Version 1.0. No dynamic header.
    put(8, &2u32.to_be_bytes());
    put(12, &0x0001_0000u32.to_be_bytes());
    put(16, &u64::MAX.to_be_bytes());
    put(24, &(time.saturating_sub(EPOCH_2000) as u32).to_be_bytes());
    // Creator application: for this one, programs use the size below and not the cylinders, which are rounded.
    put(28, b"win ");
    put(32, &0x000a_0000u32.to_be_bytes());
    put(36, b"Wi2k");
    put(40, &size.to_be_bytes());
    put(48, &size.to_be_bytes());
    put(56, &geometry(size / 512));
    put(60, &2u32.to_be_bytes());
    put(68, id.as_bytes());
    let sum = footer.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    footer[64..68].copy_from_slice(&(!sum).to_be_bytes());
    footer
}

/// Returns the sizes in bytes that programs derive from a footer, if they differ.
///
/// QEMU and Virtual PC use the cylinders, unless the creator application is known to round them. Source: QEMU,
/// block/vpc.c, vpc_open.
pub(super) fn ambiguous_sizes(footer: &[u8; FOOTER as usize]) -> Option<(u64, u64)> {
    const BY_SIZE: [&[u8]; 6] = [b"win ", b"qem2", b"d2v ", b"tap\0", b"vs  ", b"wa\0\0"];
    let number =
        |range: std::ops::Range<usize>| footer[range].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let size = number(48..56);
    let by_cylinders = number(56..58) * number(58..59) * number(59..60) * 512;
    // All programs use the size if the disk is too large for the cylinder count.
    let largest = 65_535 * 16 * 255 * 512;
    let differ = by_cylinders != size && by_cylinders < largest && !BY_SIZE.contains(&&footer[28..32]);
    differ.then_some((size, by_cylinders))
}

/// Returns cylinders, heads and sectors per track. Source: the specification's appendix, "CHS Calculation".
fn geometry(sectors: u64) -> [u8; 4] {
    let total = sectors.min(65_535 * 16 * 255);
    let (per_track, heads, cylinder_heads) = if total >= 65_535 * 16 * 63 {
        (255, 16, total / 255)
    } else {
        let of_17 = total / 17;
        let heads = of_17.div_ceil(1024).max(4);
        if of_17 < heads * 1024 && heads <= 16 {
            (17, heads, of_17)
        } else if total / 31 < 16 * 1024 {
            (31, 16, total / 31)
        } else {
            (63, 16, total / 63)
        }
    };
    let cylinders = (cylinder_heads / heads) as u16;
    [(cylinders >> 8) as u8, cylinders as u8, heads as u8, per_track as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footer_checksum_is_valid() {
        let footer = footer(20 << 30, Uuid::from_u128(7), 1_700_000_000);
        let sum: u32 = footer
            .iter()
            .enumerate()
            .filter(|(at, _)| !(64..68).contains(at))
            .map(|(_, b)| u32::from(*b))
            .sum();
        assert_eq!(footer[64..68], (!sum).to_be_bytes());
    }

    #[test]
    fn cylinders_are_used_for_unknown_creators() {
        let mut footer = footer(20 << 30, Uuid::from_u128(7), 1_700_000_000);
        assert_eq!(ambiguous_sizes(&footer), None);
        footer[28..32].copy_from_slice(b"vpc ");
        assert_eq!(ambiguous_sizes(&footer), Some((20 << 30, 0xa28a * 16 * 63 * 512)));
    }

    #[test]
    fn geometry_follows_the_specification() {
        // 20 GiB: 63 sectors per track, 16 heads. 256 GiB: 255 sectors per track.
        assert_eq!(geometry((20 << 30) / 512), [0xa2, 0x8a, 16, 63]);
        assert_eq!(geometry((256 << 30) / 512), [0xff, 0xff, 16, 255]);
        assert_eq!(geometry(2048), [0, 30, 4, 17]);
    }
}
