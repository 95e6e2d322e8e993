//! Reads numbers from untrusted bytes: an access out of bounds is an error that names the structure.

use crate::disk::source::ReadError;
use std::fmt;

/// The name of a structure for messages, such as "directory block of inode 131".
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    pub kind: &'static str,
    pub number: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.number)
    }
}

/// The bytes of one structure.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub bytes: &'a [u8],
    pub name: Name,
    /// Bytes from the filesystem's start.
    pub at: u64,
}

impl<'a> View<'a> {
    pub(super) fn damaged(&self, problem: impl Into<String>) -> ReadError {
        ReadError::Damaged { structure: self.name.to_string(), at: self.at, problem: problem.into() }
    }

    pub(super) fn slice(&self, offset: usize, length: usize) -> Result<&'a [u8], ReadError> {
        let end = offset.checked_add(length);
        end.and_then(|end| self.bytes.get(offset..end)).ok_or_else(|| {
            self.damaged(format!(
                "{length} bytes expected at offset {offset}, but the structure has only {} bytes",
                self.bytes.len()
            ))
        })
    }

    pub(super) fn u8(&self, offset: usize) -> Result<u8, ReadError> {
        Ok(self.slice(offset, 1)?[0])
    }

    pub(super) fn u16(&self, offset: usize) -> Result<u16, ReadError> {
        Ok(u16::from_be_bytes(self.array(offset)?))
    }

    pub(super) fn u32(&self, offset: usize) -> Result<u32, ReadError> {
        Ok(u32::from_be_bytes(self.array(offset)?))
    }

    pub(super) fn u64(&self, offset: usize) -> Result<u64, ReadError> {
        Ok(u64::from_be_bytes(self.array(offset)?))
    }

    pub(super) fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], ReadError> {
        Ok(self.slice(offset, N)?.try_into().expect("the slice has that length"))
    }

    /// Fails unless `found` equals `wanted`.
    pub(super) fn expect<T: PartialEq + fmt::LowerHex>(
        &self,
        what: &str,
        found: T,
        wanted: T,
    ) -> Result<(), ReadError> {
        if found == wanted {
            return Ok(());
        }
        Err(self.damaged(format!("{what} is {found:#x}, expected {wanted:#x}")))
    }
}
