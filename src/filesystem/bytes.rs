//! Little-endian numbers in structures whose length is already known, and the one way to say that one is damaged.

use crate::filesystem::source::{ReadError, Source};

/// The caller has made sure that the structure is long enough.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// As [`u16_at`].
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A number whose halves lie apart.
pub(super) fn joined(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Reads `length` bytes from `at` bytes after the filesystem's start. Callers bound the length.
pub(super) fn read(source: &dyn Source, at: u64, length: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; length];
    source.read_at(&mut bytes, at).map_err(|error| ReadError::Io { at, error })?;
    Ok(bytes)
}

pub(super) fn damaged(structure: impl Into<String>, at: u64, problem: impl Into<String>) -> ReadError {
    ReadError::Damaged { structure: structure.into(), at, problem: problem.into() }
}
