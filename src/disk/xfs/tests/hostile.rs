//! Damaged filesystems: the reader may reject them, but must return.

use super::super::format::{INODE_CRC, INODES_MAGIC, REMOTE_VALUE_MAGIC};
use super::super::header::{crc_is_valid, seal_crc};
use super::super::{Xfs, fill};
use super::filled::all_kinds;
use super::support::{Builder, FILL, MIB, Numbers, STANDARD, fresh, window};
use crate::disk::bytes::is_zero;
use crate::disk::source::{ReadError, Source};
use crate::disk::tree::ROOT;
use std::io;
use std::ops::Range;

/// An image with modified bytes.
struct Altered<'a> {
    base: &'a dyn Source,
    start: u64,
    bytes: Vec<u8>,
}

impl Source for Altered<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.base.read_at(buffer, offset)?;
        let from = offset.max(self.start);
        let to = (offset + buffer.len() as u64).min(self.start + self.bytes.len() as u64);
        if from < to {
            let altered = (from - self.start) as usize..(to - self.start) as usize;
            buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(&self.bytes[altered]);
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.base.size()
    }
}

/// Structures with a checksum: (bytes, offset of the checksum).
fn structures(source: &dyn Source, used: &[Range<u64>]) -> Vec<(Range<u64>, usize)> {
    const CRCS: [(u64, usize); 8] =
        [(512, 224), (512, 216), (512, INODE_CRC), (512, 312), (4096, 4), (4096, 12), (4096, 52), (4096, 64)];
    let mut found = Vec::new();
    for range in used {
        for at in (range.start..range.end).step_by(512) {
            for (length, crc) in CRCS.into_iter().filter(|(length, _)| at % length == 0) {
                let mut bytes = vec![0; length as usize];
                source.read_at(&mut bytes, at).unwrap();
                if !is_zero(&bytes) && crc_is_valid(&bytes, crc) {
                    found.push((at..at + length, crc));
                }
            }
        }
    }
    found
}

/// Calls all reading functions on an arbitrary image.
fn read_all(source: &dyn Source, around: u64) -> Result<usize, ReadError> {
    let xfs = Xfs::open(source)?;
    for offset in [0, around, around + 300, source.size() - 1, u64::MAX] {
        xfs.describe(offset);
    }
    let _ = (xfs.label(), xfs.uuid(), xfs.free_bytes(), xfs.in_use());
    Ok(xfs.tree()?.nodes.len())
}

#[test]
fn damage_does_not_panic() {
    let mut builder = all_kinds();
    let directory = builder.directory(b"zz");
    for number in 0..2000 {
        builder.link(directory, format!("name {number}").as_bytes(), 1);
    }
    let image = fresh(300 * MIB, STANDARD);
    fill(image.as_file(), &builder.scan, &FILL).unwrap();
    let window = window(image.as_file());
    let xfs = Xfs::open(&window).unwrap();
    let log = xfs.superblock.log().unwrap();
    // Everything except the log, up to the end of this tree's metadata.
    let used: Vec<_> =
        xfs.in_use().unwrap().into_iter().filter(|range| !range.contains(&log.start)).collect();
    let places = structures(&window, &used);
    assert!(places.len() > 200, "{}", places.len());
    let mut numbers = Numbers(3);
    let mut rejected = 0;
    for round in 0..2000_u64 {
        let (range, crc) = &places[(numbers.next() % places.len() as u64) as usize];
        let mut bytes = vec![0; (range.end - range.start) as usize];
        window.read_at(&mut bytes, range.start).unwrap();
        for _ in 0..1 + numbers.next() % 4 {
            // Mostly near the start, where the headers are.
            let reach = if numbers.next().is_multiple_of(2) { bytes.len() as u64 } else { 240 };
            let at = (numbers.next() % reach) as usize;
            bytes[at] = [0, 0xff, numbers.next() as u8, bytes[at] ^ 1][(numbers.next() % 4) as usize];
        }
        // With a valid checksum, the bytes themselves are parsed.
        if round % 8 != 0 {
            seal_crc(&mut bytes, *crc);
        }
        let altered = Altered { base: &window, start: range.start, bytes };
        rejected += usize::from(read_all(&altered, range.start).is_err());
    }
    assert!(rejected > 400, "only {rejected} of 2000 changes were detected");
}

/// The first block in use with this magic number that passes a test, and its location.
fn find_block(xfs: &Xfs, source: &dyn Source, magic: u32, test: impl Fn(&[u8]) -> bool) -> (u64, Vec<u8>) {
    let mut bytes = vec![0; 4096];
    let mut places = xfs.in_use().unwrap().into_iter().flat_map(|range| range.step_by(4096));
    let at = places.find(|at| {
        source.read_at(&mut bytes, *at).unwrap();
        bytes[..4] == magic.to_be_bytes() && test(&bytes)
    });
    (at.unwrap(), bytes)
}

#[test]
fn duplicate_references_are_rejected() {
    let mut builder = all_kinds();
    for number in 0..64 {
        builder.file(ROOT, format!("zz {number}").as_bytes(), Vec::new());
    }
    let image = fresh(300 * MIB, STANDARD);
    fill(image.as_file(), &builder.scan, &FILL).unwrap();
    let window = window(image.as_file());
    let xfs = Xfs::open(&window).unwrap();
    // A chunk of inodes, in the btree whose records of 16 bytes start at byte 56.
    let (start, mut bytes) = find_block(&xfs, &window, INODES_MAGIC.0, |bytes| bytes[7] > 1);
    bytes.copy_within(56..72, 72);
    seal_crc(&mut bytes, 52);
    let altered = Altered { base: &window, start, bytes };
    let damaged = Xfs::open(&altered).unwrap();
    let group = xfs.group((start / (u64::from(xfs.superblock.group_blocks) << 12)) as u32).unwrap();
    assert!(xfs.chunks(&group).is_ok());
    assert!(damaged.chunks(&group).is_err());
    // A part of an attribute's value. Its header contains the offset in the value.
    let (start, mut bytes) = find_block(&xfs, &window, REMOTE_VALUE_MAGIC, |_| true);
    bytes[4..8].copy_from_slice(&8192_u32.to_be_bytes());
    seal_crc(&mut bytes, 12);
    let error = Xfs::open(&Altered { base: &window, start, bytes }).unwrap().tree().unwrap_err();
    assert!(error.to_string().contains("the offset in the value"), "{error}");
}

#[test]
fn a_truncated_image_is_rejected() {
    let image = fresh(300 * MIB, STANDARD);
    let mut start = vec![0; 1 << 16];
    window(image.as_file()).read_at(&mut start, 0).unwrap();
    for length in [0, 100, 512, 4096, 1 << 16] {
        assert!(Xfs::open(&&start[..length]).is_err());
    }
    assert!(Xfs::open(&&vec![0xff; 4096][..]).is_err());
}

#[test]
fn locations_are_described() {
    let mut builder = Builder::new();
    builder.file(ROOT, b"file", vec![9; 5000]);
    let image = fresh(300 * MIB, STANDARD);
    fill(image.as_file(), &builder.scan, &FILL).unwrap();
    let window = window(image.as_file());
    let xfs = Xfs::open(&window).unwrap();
    let group = u64::from(xfs.superblock.group_blocks) << 12;
    let inode = xfs.superblock.inode_byte(131).unwrap();
    for (offset, wanted) in [
        (144, "superblock, sb_fdblocks"),
        (2 * group + 512, "AG 2 free space header (AGF), agf_magicnum, versionnum, seqno, length"),
        (group + 1024 + 33, "AG 1 inode header (AGI), agi_newino"),
        (inode + 48, "inode 131 (core), field di_ctime"),
        (inode + 180, "inode 131, data fork"),
        (inode + 512 + 180, "inode 132 (free)"),
        (4096, "AG 0 free space btree"),
        (3 * 4096, "AG 0 inode btree"),
        (10 * 4096, "data or directory block"),
        (xfs.superblock.log().unwrap().start, "log"),
        (group - 1, "free space"),
        (300 * MIB, "after the filesystem's end"),
    ] {
        assert_eq!(xfs.describe(offset), wanted, "{offset}");
    }
}
