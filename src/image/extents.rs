//! Copies sparse files without their holes.

use crate::template::Bytes;
use rustix::fs::{SeekFrom, seek};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Returns the byte ranges of a file that contain data.
pub fn data(file: &File) -> std::io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    loop {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Only a hole is left up to the end of the file.
            Err(rustix::io::Errno::NXIO) => return Ok(ranges),
            Err(error) => return Err(error.into()),
        };
        at = seek(file, SeekFrom::Hole(start))?;
        ranges.push(start..at);
    }
}

/// Copies all data of `from` into `to`, shifted by `offset` bytes. Holes of `from` are not written.
pub fn copy_data(from: &File, to: &File, offset: Bytes) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    data(from)?.into_iter().try_for_each(|range| copy(from, range, to, |at| offset.0 + at, &mut buffer))
}

/// Copies a range of `from` into `to`, which then has the size of that range. Holes are preserved.
pub fn copy_range(from: &File, part: Range<u64>, to: &File) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    to.set_len(part.end - part.start)?;
    for range in data(from)? {
        let inside = range.start.max(part.start)..range.end.min(part.end);
        if inside.start < inside.end {
            copy(from, inside, to, |at| at - part.start, &mut buffer)?;
        }
    }
    Ok(())
}

fn copy(
    from: &File,
    range: Range<u64>,
    to: &File,
    place: impl Fn(u64) -> u64,
    buffer: &mut [u8],
) -> std::io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let want = buffer.len().min((range.end - at) as usize);
        let count = from.read_at(&mut buffer[..want], at)?;
        if count == 0 {
            return Ok(());
        }
        to.write_all_at(&buffer[..count], place(at))?;
        at += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn copying_preserves_holes() {
        let from = tempfile::tempfile().unwrap();
        from.set_len(64 << 20).unwrap();
        from.write_all_at(b"start", 0).unwrap();
        from.write_all_at(b"middle", 32 << 20).unwrap();
        let to = tempfile::tempfile().unwrap();
        to.set_len(66 << 20).unwrap();
        copy_data(&from, &to, Bytes::mib(1)).unwrap();
        let mut text = [0; 6];
        to.read_exact_at(&mut text, 33 << 20).unwrap();
        assert_eq!(&text, b"middle");
        to.read_exact_at(&mut text[..5], 1 << 20).unwrap();
        assert_eq!(&text[..5], b"start");
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }
}
