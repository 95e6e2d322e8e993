//! Decodes a Master Boot Record and its logical partitions, even if they are damaged. Sources: UEFI 2.10, section
//! 5.2.1; Linux, block/partitions/msdos.c.

use super::geometry::Lba;

/// Offset of the first record, and the size of a record, in bytes.
const RECORDS: usize = 446;
const RECORD: usize = 16;
/// Limit on the number of logical partitions, which detects loops. Source: the kernel's limit of 256 partitions per
/// disk.
const MOST: u32 = 256;

/// A used record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Starts at 1; logical partitions start at 5.
    pub number: u32,
    /// The partition type: 0xEE is a protective partition, 0xEF an EFI system partition. Source: UEFI 2.10, table 5.2,
    /// OSType.
    pub kind: u8,
    /// BIOS boots from this partition.
    pub is_active: bool,
    pub first: Lba,
    /// Never zero.
    pub sectors: u64,
}

impl Record {
    pub fn last(&self) -> Lba {
        Lba(self.first.0 + self.sectors - 1)
    }

    /// Whether this is a container for logical partitions.
    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// A complete table. Numbers are in sectors of the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mbr {
    /// The disk signature, part of PARTUUID= as eight hexadecimal digits. Source: Linux, block/partitions/msdos.c,
    /// set_info.
    pub signature: u32,
    pub records: Vec<Record>,
    /// The error in the chain of logical partitions, if there is one.
    pub fault: Option<String>,
}

impl Mbr {
    /// Decodes the table from the first sector; `sector` reads further ones. `None` if there is no table: no signature,
    /// or the boot sector of a filesystem, which has no valid records.
    pub fn read(first: &[u8], mut sector: impl FnMut(Lba) -> Option<Vec<u8>>) -> Option<Mbr> {
        let primary = records(first)?;
        let mut mbr = Mbr {
            signature: u32::from_le_bytes(first[440..444].try_into().ok()?),
            records: Vec::new(),
            fault: None,
        };
        for (number, record) in (1..).zip(primary) {
            let Some(record) = record else { continue };
            mbr.records.push(Record { number, ..record });
        }
        let extended = mbr.records.iter().find(|record| record.is_extended()).copied();
        if let Some(extended) = extended {
            mbr.fault = logical(extended, &mut sector, &mut mbr.records).err();
        }
        Some(mbr)
    }

    /// Whether this is the protective MBR of a GPT.
    pub fn is_protective(&self) -> bool {
        self.records.iter().any(|record| record.kind == 0xee)
    }

    /// The partitions, without extended and protective ones.
    pub fn partitions(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| !record.is_extended() && record.kind != 0xee)
    }

    /// The PARTUUID of a partition.
    pub fn partuuid(&self, number: u32) -> String {
        format!("{:08x}-{number:02x}", self.signature)
    }
}

/// The four records of a sector, if the signature and all records are valid.
fn records(sector: &[u8]) -> Option<[Option<Record>; 4]> {
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let mut found = [None; 4];
    for (place, slot) in found.iter_mut().enumerate() {
        let bytes = &sector[RECORDS + place * RECORD..][..RECORD];
        // Other values are code of a boot sector. Source: Linux, block/partitions/msdos.c, msdos_partition.
        if bytes[0] & 0x7f != 0 {
            return None;
        }
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let (first, sectors) = (Lba(number(8).into()), u64::from(number(12)));
        if bytes[4] != 0 && sectors != 0 {
            *slot = Some(Record { number: 0, kind: bytes[4], is_active: bytes[0] == 0x80, first, sectors });
        }
    }
    Some(found)
}

/// Follows the chain of extended boot records. Each contains one partition, relative to its own sector, and the next
/// record, relative to the first one. `Err` if the chain is broken.
fn logical(
    extended: Record,
    sector: &mut impl FnMut(Lba) -> Option<Vec<u8>>,
    into: &mut Vec<Record>,
) -> Result<(), String> {
    let mut at = extended.first;
    for number in 5..5 + MOST {
        let found = sector(at).as_deref().and_then(records);
        let Some(found) = found else {
            return Err(format!("the extended partition has no valid record at LBA {at}"));
        };
        let mut found = found.into_iter().flatten();
        let (Some(partition), next) = (found.next(), found.next()) else { return Ok(()) };
        if !partition.is_extended() {
            into.push(Record { number, first: Lba(at.0 + partition.first.0), ..partition });
        }
        match next.filter(Record::is_extended) {
            None => return Ok(()),
            Some(next) => at = Lba(extended.first.0 + next.first.0),
        }
    }
    Err(format!("the extended partition has more than {MOST} records or a loop"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sector(records: &[(u8, u8, u32, u32)]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[510..].copy_from_slice(&[0x55, 0xaa]);
        bytes[440..444].copy_from_slice(&0x1234_abcd_u32.to_le_bytes());
        for (place, (active, kind, first, sectors)) in records.iter().enumerate() {
            let record = &mut bytes[RECORDS + place * RECORD..][..RECORD];
            (record[0], record[4]) = (*active, *kind);
            record[8..12].copy_from_slice(&first.to_le_bytes());
            record[12..].copy_from_slice(&sectors.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn logical_partitions_are_numbered_from_five() {
        let first = sector(&[(0x80, 0x83, 2048, 100), (0, 0x05, 4096, 9000)]);
        let chain = |at: Lba| match at.0 {
            4096 => Some(sector(&[(0, 0x83, 64, 100), (0, 0x05, 1000, 500)])),
            5096 => Some(sector(&[(0, 0x82, 64, 200)])),
            _ => None,
        };
        let mbr = Mbr::read(&first, chain).unwrap();
        let found: Vec<_> = mbr.partitions().map(|r| (r.number, r.kind, r.first.0, r.last().0)).collect();
        assert_eq!(found, [(1, 0x83, 2048, 2147), (5, 0x83, 4160, 4259), (6, 0x82, 5160, 5359)]);
        assert_eq!((mbr.partuuid(5).as_str(), mbr.fault), ("1234abcd-05", None));
        assert!(mbr.records[0].is_active && !Mbr::read(&first, |_| None).unwrap().is_protective());
        assert!(Mbr::read(&first, |_| None).unwrap().fault.unwrap().contains("no valid record at LBA 4096"));
        let circle = |_| Some(sector(&[(0, 0x83, 64, 100), (0, 0x05, 0, 500)]));
        assert!(Mbr::read(&first, circle).unwrap().fault.unwrap().contains("loop"));
    }

    #[test]
    fn a_boot_sector_is_not_a_table() {
        assert_eq!(Mbr::read(&sector(&[(0x12, 0x83, 1, 1)]), |_| None), None);
        assert_eq!(Mbr::read(&[0; 512], |_| None), None);
        assert!(Mbr::read(&sector(&[(0, 0xee, 1, 100)]), |_| None).unwrap().is_protective());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Mbr::read(&bytes, |_| Some(bytes.clone()));
        }
    }
}
