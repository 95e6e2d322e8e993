//! Reading a filesystem: positional, from a file, a part of one, or memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that can be read at any place.
pub trait Source: Sync {
    /// Fills the whole buffer from `offset` bytes after the start, or fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// In bytes.
    fn size(&self) -> u64;

    /// The first place from `offset` on that may hold anything but zeros; the size if there is none.
    fn next_data(&self, offset: u64) -> u64 {
        offset
    }
}

/// A part of a file, such as a partition of an image.
pub struct Window<'a> {
    pub file: &'a File,
    /// Bytes from the file's start.
    pub offset: u64,
    /// In bytes.
    pub size: u64,
}

impl Source for Window<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(buffer, self.offset + offset)
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn next_data(&self, offset: u64) -> u64 {
        match rustix::fs::seek(self.file, rustix::fs::SeekFrom::Data(self.offset.saturating_add(offset))) {
            Ok(at) => at.saturating_sub(self.offset).clamp(offset, self.size.max(offset)),
            // Nothing but hole up to the end.
            Err(rustix::io::Errno::NXIO) => self.size.max(offset),
            // Not every file knows its holes.
            Err(_) => offset,
        }
    }
}

impl Source for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// Why a filesystem could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its bytes contradict themselves or the format.
    #[error("{structure} at byte {at} of the filesystem: {problem}")]
    Damaged {
        structure: String,
        /// Bytes from the filesystem's start.
        at: u64,
        /// What was found, and what was expected.
        problem: String,
    },
    /// It may be fine, but this program does not know all of it.
    #[error("{0}")]
    Unsupported(String),
    /// The host's.
    #[error("could not write what was unpacked")]
    Unpack {
        #[source]
        error: io::Error,
    },
    #[error("could not read at byte {at} of the filesystem")]
    Io {
        at: u64,
        #[source]
        error: io::Error,
    },
}
