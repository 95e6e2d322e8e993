//! Input of the writers: random access to bytes, with known holes.

use crate::image::data_ranges;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

pub(super) trait Source: Sync {
    /// Returns the size in bytes.
    fn size(&self) -> u64;
    /// Fills the buffer, which ends within the source.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
    /// Returns whether a range is known to contain only zeros, without reading it.
    fn is_hole(&self, range: Range<u64>) -> bool;
}

/// A sparse file.
pub(super) struct Raw<'f> {
    file: &'f File,
    size: u64,
    data: Vec<Range<u64>>,
}

impl<'f> Raw<'f> {
    pub(super) fn new(file: &'f File) -> io::Result<Raw<'f>> {
        Ok(Raw { file, size: file.metadata()?.len(), data: data_ranges(file)? })
    }

    pub(super) fn file(&self) -> &File {
        self.file
    }
}

impl Source for Raw<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }

    fn is_hole(&self, range: Range<u64>) -> bool {
        let first = self.data.partition_point(|data| data.end <= range.start);
        self.data.get(first).is_none_or(|data| data.start >= range.end)
    }
}

/// A source with a prefix and a suffix, such as a member of an archive.
pub(super) struct Framed<'s, S> {
    pub before: Vec<u8>,
    pub inner: &'s S,
    /// Number of zero bytes after it.
    pub after: u64,
}

impl<S: Source> Source for Framed<'_, S> {
    fn size(&self) -> u64 {
        self.before.len() as u64 + self.inner.size() + self.after
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let before = self.before.len() as u64;
        let mut at = at;
        let mut rest = buffer;
        if at < before {
            let count = rest.len().min((before - at) as usize);
            let part;
            (part, rest) = rest.split_at_mut(count);
            part.copy_from_slice(&self.before[at as usize..at as usize + count]);
            at += count as u64;
        }
        let inside = (at - before.min(at)).min(self.inner.size());
        let count = rest.len().min((self.inner.size() - inside) as usize);
        let (part, zeros) = rest.split_at_mut(count);
        if !part.is_empty() {
            self.inner.read_at(part, inside)?;
        }
        zeros.fill(0);
        Ok(())
    }

    fn is_hole(&self, range: Range<u64>) -> bool {
        let before = self.before.len() as u64;
        if range.start < before {
            return false;
        }
        let size = self.inner.size();
        let (start, end) = ((range.start - before).min(size), (range.end - before).min(size));
        start == end || self.inner.is_hole(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framed_sources_have_random_access() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"inner", 0).unwrap();
        let raw = Raw::new(&file).unwrap();
        let framed = Framed { before: b"be".to_vec(), inner: &raw, after: 3 };
        let whole = b"beinner\0\0\0";
        assert_eq!(framed.size(), whole.len() as u64);
        for start in 0..whole.len() {
            for end in start..=whole.len() {
                let mut bytes = vec![7; end - start];
                framed.read_at(&mut bytes, start as u64).unwrap();
                assert_eq!(bytes, whole[start..end]);
            }
        }
        assert!(framed.is_hole(7..10) && !framed.is_hole(6..10) && !framed.is_hole(0..1));
    }
}
