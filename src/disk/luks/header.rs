//! The binary headers: 4096 bytes before each of the two JSON areas, with a checksum of both.
//!
//! Source: LUKS2 On-Disk Format Specification 1.1.1, section 2. Numbers are big-endian.

use super::fields::damaged;
use crate::disk::source::{ReadError, Source};
use sha2::{Digest, Sha256};
use std::ops::Range;
use uuid::Uuid;

/// Size of a binary header in bytes; its JSON area follows.
pub(super) const BINARY_SIZE: usize = 4096;

/// Size of a binary header with its JSON area in bytes: cryptsetup's default.
pub(super) const HEADER_SIZE: usize = 16_384;

/// The sizes that the format allows, in bytes: powers of two from 16 KiB to 4 MiB.
const HEADER_SIZES: Range<u64> = HEADER_SIZE as u64..(4 << 20) + 1;

/// Size of the label field in bytes, with the terminating NUL.
pub(super) const LABEL_SIZE: usize = LABEL.end - LABEL.start;

pub(super) const SALT_SIZE: usize = SALT.end - SALT.start;

const VERSION_NUMBER: u16 = 2;
const CHECKSUM_ALGORITHM: &str = "sha256";

const MAGIC: Range<usize> = 0..6;
const VERSION: Range<usize> = 6..8;
const SIZE: Range<usize> = 8..16;
const SEQUENCE: Range<usize> = 16..24;
const LABEL: Range<usize> = 24..72;
const ALGORITHM: Range<usize> = 72..104;
const SALT: Range<usize> = 104..168;
const UUID: Range<usize> = 168..208;
const SUBSYSTEM: Range<usize> = 208..256;
const OFFSET: Range<usize> = 256..264;
const CHECKSUM: Range<usize> = 448..512;

/// Which of the two headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderCopy {
    /// At the partition's start.
    Primary,
    /// Directly after the primary header's JSON area.
    Secondary,
}

impl HeaderCopy {
    const fn magic(self) -> &'static [u8; 6] {
        match self {
            Self::Primary => b"LUKS\xba\xbe",
            Self::Secondary => b"SKUL\xba\xbe",
        }
    }

    const fn structure(self) -> &'static str {
        match self {
            Self::Primary => "primary LUKS2 header",
            Self::Secondary => "secondary LUKS2 header",
        }
    }
}

/// The contents of both headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LuksHeader {
    /// Size of each header with its JSON area, in bytes.
    pub size: u64,
    /// Sequence number: incremented at each update. The two headers differ after an interrupted update.
    pub sequence: u64,
    pub label: String,
    pub subsystem: String,
    pub uuid: Uuid,
    /// Without the NULs that fill the area.
    pub json: Vec<u8>,
}

impl LuksHeader {
    /// Encodes [`Self::size`] bytes. `json` must leave at least one byte of its area free.
    pub(super) fn encode(&self, place: HeaderCopy, salt: &[u8; SALT_SIZE]) -> Vec<u8> {
        let size = self.size as usize;
        assert!(BINARY_SIZE + self.json.len() < size, "the JSON fits its area");
        let mut bytes = vec![0; size];
        let offset = match place {
            HeaderCopy::Primary => 0,
            HeaderCopy::Secondary => self.size,
        };
        bytes[MAGIC].copy_from_slice(place.magic());
        bytes[VERSION].copy_from_slice(&VERSION_NUMBER.to_be_bytes());
        bytes[SIZE].copy_from_slice(&self.size.to_be_bytes());
        bytes[SEQUENCE].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[LABEL][..self.label.len()].copy_from_slice(self.label.as_bytes());
        bytes[ALGORITHM][..CHECKSUM_ALGORITHM.len()].copy_from_slice(CHECKSUM_ALGORITHM.as_bytes());
        bytes[SALT].copy_from_slice(salt);
        bytes[UUID][..36].copy_from_slice(self.uuid.hyphenated().to_string().as_bytes());
        bytes[SUBSYSTEM][..self.subsystem.len()].copy_from_slice(self.subsystem.as_bytes());
        bytes[OFFSET].copy_from_slice(&offset.to_be_bytes());
        bytes[BINARY_SIZE..][..self.json.len()].copy_from_slice(&self.json);
        let checksum = checksum(&bytes);
        bytes[CHECKSUM][..checksum.len()].copy_from_slice(&checksum);
        bytes
    }

    /// Reads the header at byte `at`.
    pub(super) fn read(source: &dyn Source, place: HeaderCopy, at: u64) -> Result<Self, ReadError> {
        let failed = |error| ReadError::Io { at, error };
        let mut bytes = vec![0; BINARY_SIZE];
        source.read_at(&mut bytes, at).map_err(failed)?;
        let wrong =
            |field: &Range<usize>, problem| damaged(place.structure(), at + field.start as u64, problem);
        let size = check_shape(&bytes, place, at, &wrong)?;
        bytes.resize(size as usize, 0);
        source.read_at(&mut bytes[BINARY_SIZE..], at + BINARY_SIZE as u64).map_err(failed)?;
        check_checksum(&bytes, &wrong)?;
        let text = |field: Range<usize>| -> Result<String, ReadError> {
            let text = std::str::from_utf8(until_nul(&bytes[field.clone()]))
                .map_err(|_| wrong(&field, "not valid UTF-8".into()))?;
            Ok(text.into())
        };
        let uuid = text(UUID)?;
        let json = until_nul(&bytes[BINARY_SIZE..]);
        if json.len() == bytes.len() - BINARY_SIZE {
            return Err(wrong(&(BINARY_SIZE..bytes.len()), "the JSON text is not NUL-terminated".into()));
        }
        Ok(Self {
            size,
            sequence: number(&bytes, SEQUENCE),
            label: text(LABEL)?,
            subsystem: text(SUBSYSTEM)?,
            uuid: Uuid::try_parse(&uuid).map_err(|_| wrong(&UUID, format!("{uuid:?} is not a UUID")))?,
            json: json.to_vec(),
        })
    }
}

/// Checks everything that must be valid before the checksum can be computed. Returns the header's size.
fn check_shape(
    bytes: &[u8],
    place: HeaderCopy,
    at: u64,
    wrong: &dyn Fn(&Range<usize>, String) -> ReadError,
) -> Result<u64, ReadError> {
    if &bytes[MAGIC] != place.magic() {
        let (found, expected) = (hex(&bytes[MAGIC]), hex(place.magic()));
        return Err(wrong(&MAGIC, format!("the magic is {found}, expected {expected}")));
    }
    match u16::from_be_bytes([bytes[VERSION.start], bytes[VERSION.start + 1]]) {
        VERSION_NUMBER => {}
        1 => return Err(ReadError::Unsupported("LUKS version 1 is not supported, only version 2".into())),
        version => return Err(wrong(&VERSION, format!("the version is {version}, expected 2"))),
    }
    let size = number(bytes, SIZE);
    if !HEADER_SIZES.contains(&size) || !size.is_power_of_two() {
        return Err(wrong(
            &SIZE,
            format!("the header's size is {size} bytes, expected a power of two from 16 KiB to 4 MiB"),
        ));
    }
    let offset = number(bytes, OFFSET);
    if offset != at {
        return Err(wrong(&OFFSET, format!("the header's offset is {offset}, but the header is at {at}")));
    }
    let algorithm = until_nul(&bytes[ALGORITHM]);
    if algorithm != CHECKSUM_ALGORITHM.as_bytes() {
        let algorithm = algorithm.escape_ascii();
        return Err(wrong(&ALGORITHM, format!("the checksum algorithm is `{algorithm}`, expected `sha256`")));
    }
    Ok(size)
}

fn check_checksum(bytes: &[u8], wrong: &dyn Fn(&Range<usize>, String) -> ReadError) -> Result<(), ReadError> {
    let mut zeroed = bytes.to_vec();
    zeroed[CHECKSUM].fill(0);
    let mut expected = [0; CHECKSUM.end - CHECKSUM.start];
    let checksum = checksum(&zeroed);
    expected[..checksum.len()].copy_from_slice(&checksum);
    if bytes[CHECKSUM] == expected {
        return Ok(());
    }
    let (found, expected) = (hex(&bytes[CHECKSUM]), hex(&expected));
    Err(wrong(&CHECKSUM, format!("the checksum is {found}, expected {expected}")))
}

/// Checksum of a header whose checksum field is zeroed.
fn checksum(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn number(bytes: &[u8], field: Range<usize>) -> u64 {
    u64::from_be_bytes(bytes[field].try_into().expect("the field has 8 bytes"))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
