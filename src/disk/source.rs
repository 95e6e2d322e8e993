//! Positional reads of a filesystem, from a file, a part of a file, or memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes with random access.
pub trait Source: Sync {
    /// Fills the whole buffer from byte `offset` on, or fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Size in bytes.
    fn size(&self) -> u64;

    /// The first offset at or after `offset` that may be nonzero; the size if there is none.
    fn next_data(&self, offset: u64) -> u64 {
        offset
    }
}

/// A part of a file, such as a partition of an image.
pub struct Window<'a> {
    pub file: &'a File,
    /// Bytes from the file's start.
    pub offset: u64,
    /// Size in bytes.
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
            // There are only holes up to the file's end.
            Err(rustix::io::Errno::NXIO) => self.size.max(offset),
            // `SEEK_DATA` is not supported by every file.
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
    /// The bytes contradict the format or each other.
    #[error("{structure} at byte {at} of the filesystem: {problem}")]
    Damaged {
        structure: String,
        /// Bytes from the filesystem's start.
        at: u64,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A feature that this reader does not support; the filesystem may be fine.
    #[error("{0}")]
    Unsupported(String),
    /// An I/O error of the host while writing unpacked data.
    #[error("could not write unpacked data")]
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
