//! Erases partition tables and the signatures of filesystems, RAID and LVM from a block device.
//!
//! All other data stays and is overwritten where the new filesystems need zeros.

use crate::host::{Context, Failure};
use crate::plan::Disk;
use crate::template::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Signatures are within this distance of either end of a disk or partition: tables and superblocks at the start,
/// backup tables, ZFS labels and RAID superblocks at the end. Source: wipefs(8); libblkid's probes.
const EDGE: Bytes = Bytes::mib(1);
/// Second superblock of btrfs. Source: btrfs(5), "superblock".
const BTRFS_MIRROR: Range<u64> = 64 * Bytes::MIB..64 * Bytes::MIB + 4096;

/// Zeroes both ends of the disk and of its new partitions. Preserved partitions are not touched.
pub(super) fn wipe(disk: &Disk, file: &File) -> Result<(), Failure> {
    let context = || format!("could not clear /dev/{}", disk.name);
    if !disk.keeps_table {
        edges(file, 0..disk.size.0).context(context)?;
    }
    for partition in &disk.partitions {
        if disk.stays(partition) {
            continue;
        }
        let start = disk.offset(partition).0;
        edges(file, start..start + partition.size.0).context(context)?;
        if partition.size.0 >= BTRFS_MIRROR.end {
            zero(file, start + BTRFS_MIRROR.start..start + BTRFS_MIRROR.end).context(context)?;
        }
    }
    Ok(())
}

fn edges(file: &File, range: Range<u64>) -> std::io::Result<()> {
    let edge = EDGE.0.min(range.end - range.start);
    zero(file, range.start..range.start + edge)?;
    zero(file, range.end - edge..range.end)
}

/// Makes a range read as zeros, with fallocate(2) if the device supports it and by writing otherwise.
pub(super) fn zero(file: &File, range: Range<u64>) -> std::io::Result<()> {
    let length = range.end - range.start;
    let flags = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    if length == 0 || fallocate(file, flags, range.start, length).is_ok() {
        return Ok(());
    }
    let zeros = vec![0; (1 << 20).min(length as usize)];
    let mut at = range.start;
    while at < range.end {
        let count = zeros.len().min((range.end - at) as usize);
        file.write_all_at(&zeros[..count], at)?;
        at += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_is_zeroed() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; 4096 * 3], 0).unwrap();
        zero(&file, 4096..8192).unwrap();
        let mut bytes = vec![0; 4096 * 3];
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes[..4096].iter().all(|b| *b == 7));
        assert!(bytes[4096..8192].iter().all(|b| *b == 0));
        assert!(bytes[8192..].iter().all(|b| *b == 7));
    }
}
