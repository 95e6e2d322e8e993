//! Detects truncated images, because QEMU silently reads zeros beyond the end of a file.

use super::image_format::ImageFormat;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Returns the minimum size of an image file of `size` bytes according to its metadata; `None` if the metadata itself
/// is truncated. Returns 0 for formats for which `qemu-img check` detects truncation.
pub(super) fn minimum_end(file: &File, size: u64, format: ImageFormat) -> Option<u64> {
    match format {
        // The metadata of a raw image is its partition table, which the rules check.
        ImageFormat::Raw
        | ImageFormat::Vhdx
        | ImageFormat::Vmdk
        | ImageFormat::Qcow
        | ImageFormat::Qed
        | ImageFormat::Parallels => Some(0),
        ImageFormat::Qcow2 => qcow2(file),
        ImageFormat::Vhd => vhd(file, size),
        ImageFormat::Vdi => vdi(file),
    }
}

/// Returns the end of the last cluster. Source: QEMU, docs/interop/qcow2.txt, "Header" and "Cluster mapping".
fn qcow2(file: &File) -> Option<u64> {
    const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
    const COMPRESSED: u64 = 1 << 62;
    /// Flag of a 64-bit entry: the cluster reads as zeros regardless of its data.
    const ZERO: u64 = 1;
    /// Incompatible feature: entries have 128 bits, of which the second half is a bitmap of subclusters.
    const EXTENDED: u64 = 1 << 4;
    /// Maximum size of the L1 table in QEMU.
    const MOST_L1: usize = 32 << 20;
    let mut header = [0; 80];
    file.read_exact_at(&mut header, 0).ok()?;
    let number =
        |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("the slice has four bytes"));
    let long = |at: usize| u64::from(number(at)) << 32 | u64::from(number(at + 4));
    let (version, bits) = (number(4), number(20));
    if !(9..=21).contains(&bits) {
        return None;
    }
    let is_extended = version >= 3 && long(72) & EXTENDED != 0;
    let cluster = 1_u64 << bits;
    // With subclusters, the end of the last allocated one.
    let used = |bitmap: u64| cluster / 32 * u64::from(32 - (bitmap as u32).leading_zeros());
    let end_of = |bytes: &[u8]| -> u64 {
        let entry = entry_at(bytes);
        if entry & COMPRESSED != 0 {
            let width = 62 - (bits - 8);
            let sectors = (entry & !COMPRESSED & !(1 << 63)) >> width;
            ((entry & ((1 << width) - 1)) / 512 + sectors + 1) * 512
        } else if entry & OFFSET == 0 {
            0
        } else if is_extended {
            (entry & OFFSET) + used(entry_at(&bytes[8..]))
        } else if entry & ZERO != 0 {
            0
        } else {
            (entry & OFFSET) + cluster
        }
    };
    let mut l1 = vec![0; (number(36) as usize).checked_mul(8).filter(|bytes| *bytes <= MOST_L1)?];
    file.read_exact_at(&mut l1, long(40)).ok()?;
    let mut l2 = vec![0; cluster as usize];
    let mut end = 0;
    for table in l1.chunks_exact(8).map(entry_at).map(|entry| entry & OFFSET).filter(|at| *at != 0) {
        file.read_exact_at(&mut l2, table).ok()?;
        let entries = l2.chunks_exact(if is_extended { 16 } else { 8 });
        end = entries.map(end_of).fold(end, u64::max);
    }
    Some(end)
}

fn entry_at(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().expect("the slice has eight bytes"))
}

/// Checks that a vhd ends with its footer. Without it, only the copy at the start of a dynamic vhd is left, and the
/// original size is unknown. Source: Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format".
fn vhd(file: &File, size: u64) -> Option<u64> {
    let mut cookie = [0; 8];
    file.read_exact_at(&mut cookie, size.checked_sub(512)?).ok()?;
    (cookie == *b"conectix").then_some(size)
}

/// Returns the end of the last allocated block. Source: VirtualBox, VDICore.h, VDIHEADER1 (all fields are
/// little-endian).
fn vdi(file: &File) -> Option<u64> {
    let number = |at: u64| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at).ok().map(|()| u64::from(u32::from_le_bytes(bytes)))
    };
    let (data, block, extra, allocated) = (number(0x158)?, number(0x178)?, number(0x17c)?, number(0x184)?);
    allocated.checked_mul(block + extra)?.checked_add(data)
}
