//! Reads a published file back and holds it against what it was made from.

use super::open::open;
use super::source::{Raw, Source};
use crate::disk;
use crate::host::{Context, Failure};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Whether a guest sees the same bytes in the published file as in the raw image. What has to be unpacked goes to unnamed
/// files in `scratch`.
///
/// # Errors
/// It does not read back, or what it holds is something else.
pub(super) fn check(file: &Path, raw: &File, scratch: &Path) -> Result<(), Failure> {
    let back = open(file, scratch)?;
    let context = || "could not compare the published file with the raw image".to_owned();
    let raw = Raw::new(raw).context(context)?;
    let other = Raw::new(&back.file).context(context)?;
    let different =
        |what: String| Failure::new("what was written does not read back as the raw image").detail(what);
    if back.size != raw.size() {
        return Err(different(format!("raw image: {} bytes, read back: {} bytes", raw.size(), back.size)));
    }
    match first_difference(&raw, &other).context(context)? {
        None => Ok(()),
        Some(at) => Err(different(format!("the first difference is at byte {at}"))),
    }
}

/// Only where one of them has data is anything read.
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

/// Takes what should come, and holds it against what comes.
pub(super) struct Comparing<R> {
    there: R,
    at: u64,
    buffer: Vec<u8>,
}

impl<R: Read> Comparing<R> {
    pub(super) fn new(there: R) -> Comparing<R> {
        Comparing { there, at: 0, buffer: Vec::new() }
    }

    /// All has come.
    ///
    /// # Errors
    /// There is more than that.
    pub(super) fn finish(mut self) -> io::Result<()> {
        match self.there.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other(format!("it goes on behind byte {}", self.at))),
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

/// Whether a packed tree is all that a reader gives.
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
        .context(|| "what was written does not read back as the root tree".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_comes_is_held_against_what_should() {
        let compare = |there: &[u8], should: &[u8]| {
            let mut comparing = Comparing::new(there);
            comparing.write_all(should).and_then(|()| comparing.finish()).map_err(|error| error.to_string())
        };
        assert_eq!(compare(b"tree", b"tree"), Ok(()));
        assert_eq!(compare(b"tree", b"trea").unwrap_err(), "the first difference is at byte 3");
        assert_eq!(compare(b"trees", b"tree").unwrap_err(), "it goes on behind byte 4");
        assert!(compare(b"tre", b"tree").is_err());
    }

    #[test]
    fn a_slip_is_found_where_it_is() {
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
        // Zeros that are written are zeros that are not.
        assert_eq!(difference(&one, &file(&[(b"data", 3 << 20), (&[0; 100], 9)])), None);
        assert_eq!(difference(&one, &file(&[(b"date", 3 << 20)])), Some((3 << 20) + 3));
        assert_eq!(difference(&one, &file(&[])), Some(3 << 20));
        assert_eq!(difference(&file(&[]), &file(&[(b"x", (5 << 20) - 1)])), Some((5 << 20) - 1));
    }
}
