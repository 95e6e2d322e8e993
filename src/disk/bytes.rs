//! Little-endian numbers in structures of known length, and the constructor of "damaged" errors.

use crate::disk::source::{ReadError, Source};

/// The position of the first difference between two slices of equal length.
pub fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    const BLOCK: usize = 256;
    // Comparing whole blocks compiles to one memcmp call each.
    let block = one.chunks(BLOCK).zip(other.chunks(BLOCK)).position(|(one, other)| one != other)?;
    let start = block * BLOCK;
    one[start..]
        .iter()
        .zip(&other[start..])
        .position(|(one, other)| one != other)
        .map(|within| start + within)
}

pub fn is_zero(bytes: &[u8]) -> bool {
    // Comparing the slice with itself, shifted by one byte, compiles to a single memcmp call.
    bytes.first().is_none_or(|first| *first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

/// Panics if the structure is too short: callers check the length first.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// Same as [`u16_at`], for 32 bits.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Joins the two halves of a number that are stored in separate fields.
pub(super) fn joined(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Reads `length` bytes at byte `at` of the filesystem. Callers limit the length.
pub(super) fn read(source: &dyn Source, at: u64, length: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; length];
    source.read_at(&mut bytes, at).map_err(|error| ReadError::Io { at, error })?;
    Ok(bytes)
}

pub(super) fn damaged(structure: impl Into<String>, at: u64, problem: impl Into<String>) -> ReadError {
    ReadError::Damaged { structure: structure.into(), at, problem: problem.into() }
}
