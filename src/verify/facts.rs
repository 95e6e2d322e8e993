//! What was read of an image.

use super::boot_path::{BootPaths, FileAt};
use super::system::System;
use crate::disk::Kind;
use crate::image::format::ImageFormat;
use crate::plan;
use crate::plan::layout::SectorSize;
use crate::plan::layout::gpt::{Entry, Header, HeaderFault, MbrFault};
use crate::plan::layout::mbr::Mbr;
use crate::template::Bytes;

pub struct Facts {
    /// The image's file name.
    pub name: String,
    pub format: ImageFormat,
    /// Of a VHD whose readers do not agree how large it is: in bytes, by its size and by its cylinders.
    pub ambiguous_size: Option<(u64, u64)>,
    /// It is in an archive as Google Compute Engine takes it.
    pub for_google: bool,
    /// What the guest sees, in bytes.
    pub size: u64,
    pub sector: SectorSize,
    pub scheme: Scheme,
    pub table: TableFacts,
    /// In the order of the table.
    pub partitions: Vec<PartitionFacts>,
    /// What the image should be, if somebody said so.
    pub plan: Option<plan::Plan>,
    pub boot_paths: BootPaths,
    /// Filesystems with a root hash on the command line.
    pub verity: Vec<VerityFacts>,
    /// The installed system, if a root filesystem was found.
    pub system: Option<System>,
}

/// A root hash on a kernel's command line.
pub struct VerityFacts {
    /// `roothash=…` or `usrhash=…`.
    pub option: String,
    /// What starts that kernel.
    pub entry: FileAt,
    /// Somebody has to choose it.
    pub is_alternative: bool,
    /// The data partition, if it was found.
    pub partition: Option<u32>,
    /// The partition of the hash tree, if it was found.
    pub tree: Option<u32>,
    /// What is wrong.
    pub fault: Option<String>,
}

/// How a disk is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Also where there is no table that could be read.
    Gpt,
    Mbr,
    /// Not at all: a filesystem fills it.
    Whole,
}

impl Facts {
    /// The plan's disk that this image is: the one with its GUID, else the first.
    pub fn planned(&self) -> Option<&plan::Disk> {
        let disks = &self.plan.as_ref()?.disks;
        let guid = self.table.valid().map(|(header, _)| header.disk_guid);
        disks.iter().find(|disk| Some(disk.guid) == guid).or(disks.first())
    }

    /// Whether a device name means a partition that the plan has on another disk, which was not looked at.
    pub fn is_elsewhere(&self, device: &str) -> bool {
        let Some(plan) = &self.plan else { return false };
        let here = self.planned().map(|disk| disk.guid);
        let others = plan.partitions().filter(|(disk, _)| Some(disk.guid) != here);
        let mut names = others.flat_map(|(_, partition)| {
            let luks = partition.encryption.as_ref().map(|encryption| encryption.uuid.to_string());
            let inside = partition.filesystem.as_ref().and_then(|filesystem| filesystem.uuid.clone());
            let mapper = partition.encryption.as_ref().map(|_| partition.device());
            [Some(partition.guid.to_string()), luks, inside, mapper].into_iter().flatten()
        });
        names.any(|name| device.ends_with(name.as_str()))
    }

    pub fn partition(&self, number: u32) -> Option<&PartitionFacts> {
        self.partitions.iter().find(|p| p.entry.number == number)
    }

    /// Sectors of the whole disk.
    pub fn sectors(&self) -> u64 {
        self.size / self.sector.bytes()
    }
}

/// One copy of the table.
pub struct TableCopy {
    pub header: Result<Header, HeaderFault>,
    /// CRC32 of the entry array as it is; nothing if it could not be read.
    pub array_crc: Option<u32>,
    pub entries: Vec<Entry>,
}

pub struct TableFacts {
    pub mbr: Result<(), MbrFault>,
    /// The partitions of the MBR, where it has any.
    pub records: Option<Mbr>,
    pub primary: TableCopy,
    /// From the disk's last sector.
    pub backup: TableCopy,
    /// The boot code of sector 0.
    pub boot_code: Vec<u8>,
    /// What lies between the table and the first partition, from the first usable sector.
    pub gap: Vec<u8>,
    /// What lies in the sector that GRUB's boot code names, and behind it; at most 1 MiB.
    pub core: Vec<u8>,
}

impl TableFacts {
    /// The copy to go by: the primary one, unless only the backup is whole.
    pub fn valid(&self) -> Option<(&Header, &[Entry])> {
        [&self.primary, &self.backup].into_iter().find_map(|copy| {
            let header = copy.header.as_ref().ok()?;
            (copy.array_crc == Some(header.entries_crc)).then_some((header, copy.entries.as_slice()))
        })
    }
}

/// What its own fsck says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fsck {
    Clean,
    /// Its words.
    Damaged(Vec<String>),
    /// There is none for this kind of partition.
    None,
}

pub struct PartitionFacts {
    /// Of an MBR: with the GUID of its type, and none of its own. Number 0 is a filesystem that fills the disk.
    pub entry: Entry,
    /// As PARTUUID= names it; nothing without a table.
    pub partuuid: Option<String>,
    /// Bytes from the disk's start.
    pub offset: u64,
    pub size: Bytes,
    /// What lies in it: inside LUKS, if that was opened.
    pub kind: Option<Kind>,
    /// Around it.
    pub luks: Option<LuksFacts>,
    pub uuid: Option<String>,
    pub label: Option<String>,
    pub free: Option<Bytes>,
    /// Of a FAT32: its clusters, where these are too few for it.
    pub fat_mismatch: Option<u32>,
    /// Of a FAT: the sectors before it, as it says; 0 where it does not.
    pub hidden_sectors: u32,
    /// Why it could not be read.
    pub unreadable: Option<String>,
    pub fsck: Fsck,
}

pub struct LuksFacts {
    pub uuid: String,
    /// What is wrong with its headers.
    pub damage: Option<String>,
    /// Nobody gave a passphrase that opens it: what is inside is not known.
    pub locked: bool,
}

impl PartitionFacts {
    /// "partition 3 (`root`)".
    pub fn title(&self) -> String {
        match (self.entry.number, self.entry.name.as_str()) {
            (0, _) => "the disk".to_owned(),
            (number, "") => format!("partition {number}"),
            (number, name) => format!("partition {number} (`{name}`)"),
        }
    }
}
