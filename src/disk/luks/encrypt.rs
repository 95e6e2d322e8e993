//! Encrypts a filesystem in a file into the data area of a volume.

use super::key::VolumeKey;
use super::xts::{TWEAK_UNIT, Xts};
use crate::plan::layout::SectorSize;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;

/// Bytes that a thread reads, encrypts and writes at a time. A multiple of both sector sizes.
const CHUNK: u64 = 1 << 20;

/// Encrypts `ranges` of `from` (bytes, sorted, each widened to whole sectors) into `to`, shifted by `to_offset`, where
/// the data of the volume starts. Holes are encrypted as zeros. Bytes outside the ranges are not written: `to` keeps
/// its contents there, which decrypt to noise.
///
/// Files that are not a whole number of sectors long and ranges beyond the end are rejected, since the last sector
/// would reach beyond the planned area.
pub fn encrypt(
    from: &File,
    to: &File,
    to_offset: u64,
    ranges: &[Range<u64>],
    key: &VolumeKey,
    sector_size: SectorSize,
) -> io::Result<()> {
    let ranges = whole_sectors(ranges, sector_size, from.metadata()?.len())?;
    let cipher =
        Xts::new(key.bytes()).ok_or_else(|| invalid("the key size does not fit any cipher".into()))?;
    let chunks = Mutex::new(ranges.iter().flat_map(chunks));
    let next = || chunks.lock().expect("no thread panics while it holds the lock").next();
    let work = || {
        let mut buffer = vec![0; CHUNK as usize];
        while let Some(chunk) = next() {
            let bytes = &mut buffer[..(chunk.end - chunk.start) as usize];
            let done = from.read_exact_at(bytes, chunk.start).and_then(|()| {
                cipher.encrypt(bytes, chunk.start / TWEAK_UNIT, sector_size);
                to.write_all_at(bytes, to_offset + chunk.start)
            });
            if done.is_err() {
                // Let the other threads stop early.
                while next().is_some() {}
                return done;
            }
        }
        Ok(())
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}

fn chunks(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = range.end;
    (range.start..end).step_by(CHUNK as usize).map(move |start| start..end.min(start + CHUNK))
}

/// Widens ranges to whole sectors, and merges those that then touch.
fn whole_sectors(ranges: &[Range<u64>], sector_size: SectorSize, length: u64) -> io::Result<Vec<Range<u64>>> {
    let sector = sector_size.bytes();
    if !length.is_multiple_of(sector) {
        return Err(invalid(format!(
            "the file size of {length} bytes is not a multiple of the sector size of {sector} bytes"
        )));
    }
    let mut whole: Vec<Range<u64>> = Vec::new();
    let mut last_start = 0;
    for range in ranges {
        if range.start < last_start || range.end < range.start || range.end > length {
            return Err(invalid(format!("the range {range:?} is out of order or beyond {length} bytes")));
        }
        last_start = range.start;
        if range.is_empty() {
            continue;
        }
        let start = range.start / sector * sector;
        // Not beyond the file's end, which is the end of a sector.
        let end = range.end.next_multiple_of(sector);
        match whole.last_mut() {
            Some(previous) if previous.end >= start => previous.end = previous.end.max(end),
            _ => whole.push(start..end),
        }
    }
    Ok(whole)
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::luks::seeded;

    fn key() -> VolumeKey {
        VolumeKey::random(&mut seeded(b"encrypt"))
    }

    /// Initial bytes of the output, which make untouched areas visible.
    const BEFORE: u8 = 0xee;

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn ranges_are_widened_to_sectors_and_merged() {
        let widened = |ranges: &[Range<u64>]| whole_sectors(ranges, SectorSize::B512, 8192).unwrap();
        assert_eq!(widened(&[1..2, 511..513, 2000..2000, 3000..3073]), [0..1024, 2560..3584]);
        assert_eq!(widened(&[0..4096, 100..200, 8191..8192]), [0..4096, 7680..8192]);
        assert_eq!(widened(&[]), []);
    }

    #[test]
    fn ranges_out_of_order_or_beyond_the_end_are_rejected() {
        let backwards = Range { start: 9, end: 8 };
        let beyond = [8193, u64::MAX].map(|end| vec![Range { start: 0, end }]);
        for ranges in [vec![600..700, 0..10], Vec::from([backwards])].into_iter().chain(beyond) {
            assert!(whole_sectors(&ranges, SectorSize::B512, 8192).is_err(), "{ranges:?}");
        }
        assert!(whole_sectors(&[], SectorSize::B4096, 8192 + 512).is_err());
    }

    #[test]
    fn only_the_sectors_of_the_ranges_are_written() {
        let plain: Vec<u8> = (0..5 << 20).map(|at: u32| (at / 512) as u8 ^ at as u8).collect();
        let from = file(&plain);
        for size in [SectorSize::B512, SectorSize::B4096] {
            let to = file(&vec![BEFORE; (6 << 20) + 512]);
            let ranges = [100..200, (1 << 20) - 1..(4 << 20) + 1];
            encrypt(&from, &to, 1 << 20, &ranges, &key(), size).unwrap();
            let mut expected = vec![BEFORE; (6 << 20) + 512];
            let cipher = Xts::new(key().bytes()).unwrap();
            for range in whole_sectors(&ranges, size, 5 << 20).unwrap() {
                let mut sectors = plain[range.start as usize..range.end as usize].to_vec();
                cipher.encrypt(&mut sectors, range.start / 512, size);
                let at = (1 << 20) + range.start as usize;
                expected[at..at + sectors.len()].copy_from_slice(&sectors);
            }
            assert!(content(&to) == expected, "{size:?}");
        }
    }

    #[test]
    fn holes_are_encrypted_as_zeros() {
        let hole = tempfile::tempfile().unwrap();
        hole.set_len(8192).unwrap();
        let (of_hole, of_zeros) = (file(&[BEFORE; 8192]), file(&[BEFORE; 8192]));
        let whole = [Range { start: 0, end: 8192 }];
        encrypt(&hole, &of_hole, 0, &whole, &key(), SectorSize::B512).unwrap();
        encrypt(&file(&[0; 8192]), &of_zeros, 0, &whole, &key(), SectorSize::B512).unwrap();
        assert_eq!(content(&of_hole), content(&of_zeros));
        assert_ne!(content(&of_hole), [BEFORE; 8192]);
    }

    #[test]
    fn failed_writes_are_reported() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("to"), "").unwrap();
        let read_only = File::open(directory.path().join("to")).unwrap();
        let whole = [Range { start: 0, end: 4 << 20 }];
        let from = file(&vec![1; 4 << 20]);
        assert!(encrypt(&from, &read_only, 0, &whole, &key(), SectorSize::B512).is_err());
    }
}
