//! Reading a GUID partition table, also a damaged one. Source: UEFI 2.10, section 5.3.
//!
//! Nothing is read from a disk here: sectors come in as bytes. Unlike a partitioner this decoder says which field is wrong
//! and goes on, since verification wants to know all of it.

use super::geometry::{Lba, SectorSize};
use std::fmt;
use uuid::Uuid;

/// "EFI PART".
const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Revision 1.0, the only one there is.
const REVISION: u32 = 0x0001_0000;
/// Bytes of the header that the specification defines.
const HEADER_SIZE: u32 = 92;
/// Bytes of one entry as everybody writes them; larger ones are allowed.
pub const ENTRY_SIZE: u32 = 128;
/// A larger entry array than this is nobody's.
const MAX_ARRAY: u64 = 4 << 20;

/// The fields of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub own: Lba,
    pub other: Lba,
    pub first_usable: Lba,
    /// Inclusive.
    pub last_usable: Lba,
    pub disk_guid: Uuid,
    /// Where the entry array begins.
    pub entries: Lba,
    pub entry_count: u32,
    /// In bytes.
    pub entry_size: u32,
    pub entries_crc: u32,
}

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// There is none.
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

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderFault::Signature => f.write_str("there is no header: `EFI PART` is not where it should be"),
            HeaderFault::Revision(found) => write!(f, "its revision is {found:#x}, expected {REVISION:#x}"),
            HeaderFault::Size(found) => {
                write!(f, "its size is {found}, expected {HEADER_SIZE} to the sector's")
            }
            HeaderFault::Crc { stored, computed } => {
                write!(f, "its CRC32 is {stored:08x}, its bytes give {computed:08x}")
            }
            HeaderFault::Array { count, size } => {
                write!(f, "it says {count} entries of {size} bytes, which no table has")
            }
        }
    }
}

impl Header {
    /// From the sector that it lies in.
    pub fn decode(sector: &[u8]) -> Result<Header, HeaderFault> {
        if sector.len() < HEADER_SIZE as usize || sector[..8] != *SIGNATURE {
            return Err(HeaderFault::Signature);
        }
        let revision = u32_at(sector, 8);
        if revision != REVISION {
            return Err(HeaderFault::Revision(revision));
        }
        let size = u32_at(sector, 12);
        if size < HEADER_SIZE || size as usize > sector.len() {
            return Err(HeaderFault::Size(size));
        }
        let stored = u32_at(sector, 16);
        let mut bytes = sector[..size as usize].to_vec();
        bytes[16..20].fill(0);
        let computed = crc32(&bytes);
        if stored != computed {
            return Err(HeaderFault::Crc { stored, computed });
        }
        let header = Header {
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
            return Err(HeaderFault::Array { count: header.entry_count, size: header.entry_size });
        }
        Ok(header)
    }

    /// Bytes of the whole entry array.
    pub fn array_size(&self) -> usize {
        self.entry_count as usize * self.entry_size as usize
    }

    /// Whole sectors that the entry array takes.
    pub fn array_sectors(&self, sector: SectorSize) -> u64 {
        (self.array_size() as u64).div_ceil(sector.bytes())
    }
}

/// One used entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// From 1.
    pub number: u32,
    pub type_guid: Uuid,
    pub guid: Uuid,
    pub first: Lba,
    /// Inclusive.
    pub last: Lba,
    pub attributes: u64,
    pub name: String,
}

/// The used entries of an array of which every one has `size` bytes.
pub fn entries(array: &[u8], size: u32) -> Vec<Entry> {
    let all = array.chunks_exact(size.max(ENTRY_SIZE) as usize);
    (1..)
        .zip(all)
        .filter(|(_, bytes)| bytes[..16].iter().any(|b| *b != 0))
        .map(|(number, bytes)| Entry {
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

/// Whether every entry lies inside what the header says is usable, and that inside the disk, and none in another.
pub fn are_sound(header: &Header, entries: &[Entry], sectors: u64) -> bool {
    let inside = |entry: &Entry| {
        entry.first <= entry.last && entry.first >= header.first_usable && entry.last <= header.last_usable
    };
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.first);
    header.last_usable.0 < sectors
        && entries.iter().all(inside)
        && sorted.windows(2).all(|pair| pair[0].last < pair[1].first)
}

/// UTF-16, ended by a zero.
fn name(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units.take_while(|unit| *unit != 0))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// The one partition of a protective MBR. Source: UEFI 2.10, table 5.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MbrFault {
    Signature,
    /// No partition of type 0xEE.
    NotProtective,
    Start(u32),
    /// Sectors that it covers, and that it should.
    Length {
        found: u32,
        expected: u32,
    },
}

impl fmt::Display for MbrFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MbrFault::Signature => f.write_str("its signature 55 AA is missing"),
            MbrFault::NotProtective => f.write_str("it has no partition of type 0xEE"),
            MbrFault::Start(found) => write!(f, "its partition starts at LBA {found}, expected 1"),
            MbrFault::Length { found, expected } => {
                write!(f, "its partition has {found} sectors, expected {expected}")
            }
        }
    }
}

/// Whether the first sector protects a disk of so many sectors from programs that know no GPT.
pub fn check_mbr(sector: &[u8], sectors: u64) -> Result<(), MbrFault> {
    if sector.len() < 512 || sector[510..512] != [0x55, 0xaa] {
        return Err(MbrFault::Signature);
    }
    let used: Vec<&[u8]> = sector[446..510].chunks_exact(16).filter(|record| record[4] != 0).collect();
    let Some(record) = used.iter().find(|record| record[4] == 0xee) else {
        return Err(MbrFault::NotProtective);
    };
    // A hybrid one has some partitions for firmware that knows no GPT, and protects what lies around them.
    if used.len() > 1 {
        return Ok(());
    }
    let (start, found) = (u32_at(record, 8), u32_at(record, 12));
    if start != 1 {
        return Err(MbrFault::Start(start));
    }
    let expected = u32::try_from(sectors.saturating_sub(1)).unwrap_or(u32::MAX);
    if found != expected {
        return Err(MbrFault::Length { found, expected });
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

    /// A table as another crate writes it.
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
    fn what_another_crate_wrote_is_read() {
        let disk = written();
        let header = Header::decode(&disk[512..1024]).unwrap();
        assert_eq!((header.own, header.other, header.entries), (Lba(1), Lba(8191), Lba(2)));
        assert_eq!((header.first_usable, header.last_usable), (Lba(34), Lba(8158)));
        let array = &disk[1024..1024 + header.array_size()];
        assert_eq!(crc32(array), header.entries_crc);
        assert_eq!(
            entries(array, header.entry_size),
            [Entry {
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
        assert!(are_sound(&header, &found, 8192) && !are_sound(&header, &found, 4000));
        found.push(Entry { number: 4, first: Lba(4095), ..found[0].clone() });
        assert!(!are_sound(&header, &found, 8192));
        found[1] = Entry { first: Lba(5000), last: Lba(4999), ..found[0].clone() };
        assert!(!are_sound(&header, &found, 8192));
        assert_eq!(check_mbr(&disk[..512], 8192), Ok(()));
        assert_eq!(check_mbr(&disk[..512], 9000), Err(MbrFault::Length { found: 8191, expected: 8999 }));
    }

    proptest! {
        #[test]
        fn every_flipped_bit_of_a_header_is_noticed(bit in 0usize..92 * 8) {
            let mut disk = written();
            disk[512 + bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::decode(&disk[512..1024]).is_err());
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Header::decode(&bytes);
            let _ = entries(&bytes, 128);
            let _ = check_mbr(&bytes, 100);
        }
    }
}
