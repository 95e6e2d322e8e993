//! Decodes a GUID partition table, even if it is damaged. Source: UEFI 2.10, section 5.3.
//!
//! This module does no I/O; sectors are passed in as bytes. Unlike a partitioning tool, the decoder reports which field
//! is wrong and continues, because verification reports all errors.

use super::geometry::{Lba, SectorSize};
use std::fmt;
use uuid::Uuid;

/// "EFI PART".
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Revision 1.0, the only one defined.
const REVISION: u32 = 0x0001_0000;
/// The header size that the specification defines, in bytes.
const HEADER_SIZE: u32 = 92;
/// The usual size of an entry in bytes. Larger entries are allowed.
pub const ENTRY_SIZE: u32 = 128;
/// Limit on the size of the entry array; no real table is larger.
const MAX_ARRAY: u64 = 4 << 20;

/// The fields of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptHeader {
    pub own: Lba,
    pub other: Lba,
    pub first_usable: Lba,
    /// Inclusive.
    pub last_usable: Lba,
    pub disk_guid: Uuid,
    /// The first block of the entry array.
    pub entries: Lba,
    pub entry_count: u32,
    /// In bytes.
    pub entry_size: u32,
    pub entries_crc: u32,
}

/// An error in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// There is no header.
    Signature,
    Revision(u32),
    Size(u32),
    Crc {
        stored: u32,
        computed: u32,
    },
    Array {
        count: u32,
        size: u32,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Signature => f.write_str("there is no header: the signature `EFI PART` is missing"),
            HeaderError::Revision(found) => write!(f, "its revision is {found:#x}, expected {REVISION:#x}"),
            HeaderError::Size(found) => {
                write!(f, "its size is {found}, expected {HEADER_SIZE} to the sector size")
            }
            HeaderError::Crc { stored, computed } => {
                write!(f, "its CRC32 is {stored:08x}, expected {computed:08x}")
            }
            HeaderError::Array { count, size } => {
                write!(f, "its entry array has an invalid size: {count} entries of {size} bytes")
            }
        }
    }
}

impl GptHeader {
    /// Decodes the header from its sector.
    pub fn decode(sector: &[u8]) -> Result<GptHeader, HeaderError> {
        if sector.len() < HEADER_SIZE as usize || sector[..8] != *SIGNATURE {
            return Err(HeaderError::Signature);
        }
        let revision = u32_at(sector, 8);
        if revision != REVISION {
            return Err(HeaderError::Revision(revision));
        }
        let size = u32_at(sector, 12);
        if size < HEADER_SIZE || size as usize > sector.len() {
            return Err(HeaderError::Size(size));
        }
        let stored = u32_at(sector, 16);
        let mut bytes = sector[..size as usize].to_vec();
        bytes[16..20].fill(0);
        let computed = crc32(&bytes);
        if stored != computed {
            return Err(HeaderError::Crc { stored, computed });
        }
        let header = GptHeader {
            own: Lba(u64_at(sector, 24)),
            other: Lba(u64_at(sector, 32)),
            first_usable: Lba(u64_at(sector, 40)),
            last_usable: Lba(u64_at(sector, 48)),
            disk_guid: guid_at(sector, 56),
            entries: Lba(u64_at(sector, 72)),
            entry_count: u32_at(sector, 80),
            entry_size: u32_at(sector, 84),
            entries_crc: u32_at(sector, 88),
        };
        let array = u64::from(header.entry_count) * u64::from(header.entry_size);
        if header.entry_size < ENTRY_SIZE || !header.entry_size.is_power_of_two() || array > MAX_ARRAY {
            return Err(HeaderError::Array { count: header.entry_count, size: header.entry_size });
        }
        Ok(header)
    }

    /// The size of the entry array, in bytes.
    pub fn array_size(&self) -> usize {
        self.entry_count as usize * self.entry_size as usize
    }

    /// The number of sectors of the entry array.
    pub fn array_sectors(&self, sector: SectorSize) -> u64 {
        (self.array_size() as u64).div_ceil(sector.bytes())
    }
}

/// One used entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptEntry {
    /// Starts at 1.
    pub number: u32,
    pub type_guid: Uuid,
    pub guid: Uuid,
    pub first: Lba,
    /// Inclusive.
    pub last: Lba,
    pub attributes: u64,
    pub name: String,
}

/// The used entries of an array with entries of `size` bytes.
pub fn entries(array: &[u8], size: u32) -> Vec<GptEntry> {
    let all = array.chunks_exact(size.max(ENTRY_SIZE) as usize);
    (1..)
        .zip(all)
        .filter(|(_, bytes)| bytes[..16].iter().any(|b| *b != 0))
        .map(|(number, bytes)| GptEntry {
            number,
            type_guid: guid_at(bytes, 0),
            guid: guid_at(bytes, 16),
            first: Lba(u64_at(bytes, 32)),
            last: Lba(u64_at(bytes, 40)),
            attributes: u64_at(bytes, 48),
            name: name(&bytes[56..ENTRY_SIZE as usize]),
        })
        .collect()
}

/// Whether all entries are in the usable range of the header, that range is on the disk, and no entries overlap.
pub fn are_valid(header: &GptHeader, entries: &[GptEntry], sectors: u64) -> bool {
    let inside = |entry: &GptEntry| {
        entry.first <= entry.last && entry.first >= header.first_usable && entry.last <= header.last_usable
    };
    let mut sorted: Vec<&GptEntry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.first);
    header.last_usable.0 < sectors
        && entries.iter().all(inside)
        && sorted.windows(2).all(|pair| pair[0].last < pair[1].first)
}

/// Decodes zero-terminated UTF-16.
fn name(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// An error in a protective MBR. Source: UEFI 2.10, table 5.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MbrError {
    Signature,
    /// There is no partition of type 0xEE.
    NotProtective,
    Start(u32),
    /// The number of sectors of the protective partition is wrong.
    Length {
        found: u32,
        expected: u32,
    },
}

impl fmt::Display for MbrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MbrError::Signature => f.write_str("its signature 55 AA is missing"),
            MbrError::NotProtective => f.write_str("it has no partition of type 0xEE"),
            MbrError::Start(found) => write!(f, "its partition starts at LBA {found}, expected 1"),
            MbrError::Length { found, expected } => {
                write!(f, "its partition has {found} sectors, expected {expected}")
            }
        }
    }
}

/// Checks that the first sector is a valid protective MBR for a disk of this many sectors.
pub fn check_mbr(sector: &[u8], sectors: u64) -> Result<(), MbrError> {
    if sector.len() < 512 || sector[510..512] != [0x55, 0xaa] {
        return Err(MbrError::Signature);
    }
    let used: Vec<&[u8]> = sector[446..510].chunks_exact(16).filter(|record| record[4] != 0).collect();
    let Some(record) = used.iter().find(|record| record[4] == 0xee) else {
        return Err(MbrError::NotProtective);
    };
    // A hybrid MBR also has partitions for firmware without GPT support, so its protective partition may be shorter.
    if used.len() > 1 {
        return Ok(());
    }
    let (start, found) = (u32_at(record, 8), u32_at(record, 12));
    if start != 1 {
        return Err(MbrError::Start(start));
    }
    let expected = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    if found != expected {
        return Err(MbrError::Length { found, expected });
    }
    Ok(())
}

/// CRC-32 as GPT uses it. Source: UEFI 2.10, section 4.2, "CRC32".
pub fn crc32(bytes: &[u8]) -> u32 {
    crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn guid_at(bytes: &[u8], at: usize) -> Uuid {
    Uuid::from_bytes_le(bytes[at..at + 16].try_into().expect("sixteen bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A table written by another crate.
    fn written() -> Vec<u8> {
        let mut disk = std::io::Cursor::new(vec![0; 4 << 20]);
        let mut table = gptman::GPT::new_from(&mut disk, 512, [7; 16]).unwrap();
        table[3] = gptman::GPTPartitionEntry {
            partition_type_guid: Uuid::from_u128(1).to_bytes_le(),
            unique_partition_guid: Uuid::from_u128(2).to_bytes_le(),
            starting_lba: 2048,
            ending_lba: 4095,
            attribute_bits: 4,
            partition_name: "größe".into(),
        };
        gptman::GPT::write_protective_mbr_into(&mut disk, 512).unwrap();
        table.write_into(&mut disk).unwrap();
        disk.into_inner()
    }

    #[test]
    fn tables_of_another_crate_are_decoded() {
        let disk = written();
        let header = GptHeader::decode(&disk[512..1024]).unwrap();
        assert_eq!((header.own, header.other, header.entries), (Lba(1), Lba(8191), Lba(2)));
        assert_eq!((header.first_usable, header.last_usable), (Lba(34), Lba(8158)));
        let array = &disk[1024..1024 + header.array_size()];
        assert_eq!(crc32(array), header.entries_crc);
        assert_eq!(
            entries(array, header.entry_size),
            [GptEntry {
                number: 3,
                type_guid: Uuid::from_u128(1),
                guid: Uuid::from_u128(2),
                first: Lba(2048),
                last: Lba(4095),
                attributes: 4,
                name: "größe".into(),
            }]
        );
        let mut found = entries(array, header.entry_size);
        assert!(are_valid(&header, &found, 8192) && !are_valid(&header, &found, 4000));
        found.push(GptEntry { number: 4, first: Lba(4095), ..found[0].clone() });
        assert!(!are_valid(&header, &found, 8192));
        found[1] = GptEntry { first: Lba(5000), last: Lba(4999), ..found[0].clone() };
        assert!(!are_valid(&header, &found, 8192));
        assert_eq!(check_mbr(&disk[..512], 8192), Ok(()));
        assert_eq!(check_mbr(&disk[..512], 9000), Err(MbrError::Length { found: 8191, expected: 8999 }));
    }

    proptest! {
        #[test]
        fn every_flipped_bit_of_a_header_is_detected(bit in 0usize..92 * 8) {
            let mut disk = written();
            disk[512 + bit / 8] ^= 1 << (bit % 8);
            prop_assert!(GptHeader::decode(&disk[512..1024]).is_err());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = GptHeader::decode(&bytes);
            let _ = entries(&bytes, 128);
            let _ = check_mbr(&bytes, 100);
        }
    }
}
