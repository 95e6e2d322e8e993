//! Compares a published file with its source.

use super::open::open;
use super::source::{Raw, Source};
use crate::disk;
use crate::host::{Context, Failure};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Checks that the disk in the published file has the same bytes as the raw image. Data is unpacked to unnamed files
/// in `scratch`.
///
/// # Errors
/// The file cannot be read or its content differs.
pub(super) fn check(file: &Path, raw: &File, scratch: &Path) -> Result<(), Failure> {
    let back = open(file, scratch)?;
    let context = || "could not compare the published file with the raw image".to_owned();
    let raw = Raw::new(raw).context(context)?;
    let other = Raw::new(&back.file).context(context)?;
    let different = |what: String| {
        Failure::new("the published file differs from the raw image after writing").detail(what)
    };
    if back.size != raw.size() {
        return Err(different(format!("raw image: {} bytes, read back: {} bytes", raw.size(), back.size)));
    }
    match first_difference(&raw, &other).context(context)? {
        None => Ok(()),
        Some(at) => Err(different(format!("the first difference is at byte {at}"))),
    }
}

/// Returns the offset of the first difference. Ranges that are holes in both files are not read.
fn first_difference(one: &Raw, other: &Raw) -> std::io::Result<Option<u64>> {
    const PIECE: u64 = 1 << 20;
    let (mut left, mut right) = (vec![0; PIECE as usize], vec![0; PIECE as usize]);
    let mut at = 0;
    while at < one.size() {
        let end = (at + PIECE).min(one.size());
        if !(one.is_hole(at..end) && other.is_hole(at..end)) {
            let count = (end - at) as usize;
            one.read_at(&mut left[..count], at)?;
            other.read_at(&mut right[..count], at)?;
            if let Some(within) = disk::first_difference(&left[..count], &right[..count]) {
                return Ok(Some(at + within as u64));
            }
        }
        at = end;
    }
    Ok(None)
}

/// A writer that compares the bytes written to it with those of a reader.
pub(super) struct Comparing<R> {
    there: R,
    at: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Comparing<R> {
    pub(super) fn new(there: R) -> Comparing<R> {
        Comparing { there, at: 0, buffer: Vec::new() }
    }

    /// Checks that the reader is at its end.
    ///
    /// # Errors
    /// The reader has more data.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.there.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other(format!("unexpected data after byte {}", self.at))),
        }
    }
}

impl<R: Read> Write for Comparing<R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.resize(bytes.len(), 0);
        self.there.read_exact(&mut self.buffer)?;
        match disk::first_difference(bytes, &self.buffer) {
            None => {
                self.at += bytes.len() as u64;
                Ok(bytes.len())
            }
            Some(within) => {
                Err(io::Error::other(format!("the first difference is at byte {}", self.at + within as u64)))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks that a reader returns exactly the packed tree.
pub(super) fn check_tree(root: &Raw, there: impl Read) -> Result<(), Failure> {
    let mut comparing = Comparing::new(there);
    let mut buffer = vec![0; 1 << 20];
    let mut compare = || -> io::Result<()> {
        let mut at = 0;
        while at < root.size() {
            let count = (root.size() - at).min(buffer.len() as u64) as usize;
            root.read_at(&mut buffer[..count], at)?;
            comparing.write_all(&buffer[..count])?;
            at += count as u64;
        }
        Ok(())
    };
    compare()
        .and_then(|()| comparing.finish())
        .context(|| "the published file differs from the root tree after writing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn differences_from_a_reader_are_found() {
        let compare = |there: &[u8], should: &[u8]| {
            let mut comparing = Comparing::new(there);
            comparing.write_all(should).and_then(|()| comparing.finish()).map_err(|error| error.to_string())
        };
        assert_eq!(compare(b"tree", b"tree"), Ok(()));
        assert_eq!(compare(b"tree", b"trea").unwrap_err(), "the first difference is at byte 3");
        assert_eq!(compare(b"trees", b"tree").unwrap_err(), "unexpected data after byte 4");
        assert!(compare(b"tre", b"tree").is_err());
    }

    #[test]
    fn the_first_difference_is_found() {
        let file = |bytes: &[(&[u8], u64)]| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(5 << 20).unwrap();
            for (bytes, at) in bytes {
                file.write_all_at(bytes, *at).unwrap();
            }
            file
        };
        let difference = |one: &File, other: &File| {
            first_difference(&Raw::new(one).unwrap(), &Raw::new(other).unwrap()).unwrap()
        };
        let one = file(&[(b"data", 3 << 20)]);
        // Written zeros equal holes.
        assert_eq!(difference(&one, &file(&[(b"data", 3 << 20), (&[0; 100], 9)])), None);
        assert_eq!(difference(&one, &file(&[(b"date", 3 << 20)])), Some((3 << 20) + 3));
        assert_eq!(difference(&one, &file(&[])), Some(3 << 20));
        assert_eq!(difference(&file(&[]), &file(&[(b"x", (5 << 20) - 1)])), Some((5 << 20) - 1));
    }
}
