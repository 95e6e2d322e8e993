//! Little-endian numbers in structures whose length is already known, and the one way to say that one is damaged.

use crate::disk::source::{ReadError, Source};

/// Where two pieces of equal length differ first.
pub fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    const BLOCK: usize = 256;
    // Whole blocks are one call of memcmp each.
    let block = one.chunks(BLOCK).zip(other.chunks(BLOCK)).position(|(one, other)| one != other)?;
    let start = block * BLOCK;
    one[start..]
        .iter()
        .zip(&other[start..])
        .position(|(one, other)| one != other)
        .map(|within| start + within)
}

pub fn is_zero(bytes: &[u8]) -> bool {
    // Each is what the one before it is: one call of memcmp.
    bytes.first().is_none_or(|first| *first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

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
