//! Reading damaged filesystems results in errors or data, but never in a panic or an endless loop.

use super::sample::{Noise, sample};
use super::{EPOCH, MIB, filled, window};
use crate::disk::btrfs::Btrfs;
use crate::disk::scan::scan;
use crate::disk::source::Source;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// An image with modified bytes.
struct Damaged<'a> {
    image: &'a dyn Source,
    /// Replaced blocks in order of creation; later ones take precedence.
    blocks: Vec<(u64, Vec<u8>)>,
}

impl Source for Damaged<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.image.read_at(buffer, offset)?;
        for (at, block) in &self.blocks {
            for (index, byte) in buffer.iter_mut().enumerate() {
                if let Some(within) = (offset + index as u64).checked_sub(*at)
                    && let Some(other) = block.get(within as usize)
                {
                    *byte = *other;
                }
            }
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.image.size()
    }
}

fn read_all(source: &dyn Source) -> bool {
    let Ok(btrfs) = Btrfs::open(source) else { return false };
    let _ = btrfs.free_bytes();
    let in_use = btrfs.in_use();
    btrfs.describe(40 * MIB);
    btrfs.tree().is_ok() && in_use.is_ok()
}

/// The superblock and all tree blocks of the first copy.
fn metadata(btrfs: &Btrfs) -> Vec<Range<u64>> {
    let node = u64::from(btrfs.blocks.superblock.node);
    let mut found: Vec<_> = std::iter::once(65_536..65_536 + 4096).collect();
    btrfs
        .each_extent(&mut |start, length| {
            let at = btrfs.blocks.chunks.map(start, length)?[0].copies[0];
            if length == node && btrfs.describe(at).starts_with("tree block") {
                found.push(at..at + length);
            }
            Ok(())
        })
        .unwrap();
    found
}

#[test]
fn flipped_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for index in 0..60 {
        std::fs::write(directory.path().join(format!("{index}")), "s".repeat(index * 100)).unwrap();
    }
    std::fs::create_dir(directory.path().join("directory")).unwrap();
    std::fs::hard_link(directory.path().join("1"), directory.path().join("directory/1")).unwrap();
    let image = filled(120 * MIB, "-m single -n 4096", &scan(directory.path(), EPOCH).unwrap());
    let image = image.unwrap();
    let window = window(&image);
    let btrfs = Btrfs::open(&window).unwrap();
    let blocks = metadata(&btrfs);
    let mut noise = Noise(3);
    let mut read = 0;
    for round in 0..2000 {
        let range = blocks[noise.next() as usize % blocks.len()].clone();
        let mut block = vec![0; (range.end - range.start) as usize];
        window.read_at(&mut block, range.start).unwrap();
        for _ in 0..1 + noise.next() % 4 {
            // Half of the changes are in the area of headers and keys.
            let limit = if noise.next().is_multiple_of(2) { 400 } else { block.len() };
            let at = noise.next() as usize % limit;
            block[at] = [0, 0xff, noise.next() as u8][noise.next() as usize % 3];
        }
        if round % 4 != 0 {
            let sum = crc32c::crc32c(&block[32..]);
            block[..4].copy_from_slice(&sum.to_le_bytes());
        }
        read += usize::from(read_all(&Damaged { image: &window, blocks: vec![(range.start, block)] }));
    }
    // Changes of content and padding are harmless.
    assert!((50..1950).contains(&read), "{read} of 2000 could be read");
}

#[test]
fn one_wrong_copy_is_tolerated() {
    let (_directory, scan) = sample(10);
    let image = filled(300 * MIB, "", &scan);
    let image = image.unwrap();
    let window = window(&image);
    let expected = Btrfs::open(&window).unwrap().tree().unwrap();
    for range in metadata(&Btrfs::open(&window).unwrap()).into_iter().skip(1) {
        image.as_file().write_all_at(&[0xee; 64], range.start + 200).unwrap();
    }
    assert_eq!(Btrfs::open(&window).unwrap().tree().unwrap(), expected);
}

/// An image with unreadable areas.
struct Unreadable<'a> {
    image: &'a dyn Source,
    places: Vec<Range<u64>>,
}

impl Source for Unreadable<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.places.iter().any(|place| place.contains(&offset)) {
            return Err(rustix::io::Errno::IO.into());
        }
        self.image.read_at(buffer, offset)
    }

    fn size(&self) -> u64 {
        self.image.size()
    }
}

#[test]
fn one_unreadable_copy_is_tolerated() {
    let (_directory, scan) = sample(10);
    let image = filled(300 * MIB, "", &scan);
    let image = image.unwrap();
    let window = window(&image);
    let btrfs = Btrfs::open(&window).unwrap();
    let places = metadata(&btrfs).into_iter().skip(1).collect();
    let worn = Unreadable { image: &window, places };
    assert_eq!(Btrfs::open(&worn).unwrap().tree().unwrap(), btrfs.tree().unwrap());
}

#[test]
fn a_short_image() {
    let (_directory, scan) = sample(1);
    let image = filled(300 * MIB, "", &scan);
    let image = image.unwrap();
    for size in [0, 65_536, 70_000, MIB, 299 * MIB] {
        image.as_file().set_len(size).unwrap();
        assert!(Btrfs::open(&window(&image)).is_err(), "{size}");
    }
}
