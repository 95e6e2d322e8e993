//! The facts that were read from an image.

use super::boot_path::{BootPaths, FileAt};
use super::system::System;
use crate::disk::VolumeKind;
use crate::image::format::ImageFormat;
use crate::plan;
use crate::plan::layout::SectorSize;
use crate::plan::layout::gpt::{GptEntry, GptHeader, HeaderError, MbrError};
use crate::plan::layout::mbr::Mbr;
use crate::template::Bytes;

pub struct Facts {
    /// File name of the image.
    pub name: String,
    pub format: ImageFormat,
    /// For a VHD with two contradicting sizes: the size field, and the size by its cylinders, in bytes.
    pub ambiguous_size: Option<(u64, u64)>,
    /// The image is a tar archive with `disk.raw`, as Google Compute Engine imports it.
    pub is_gce_archive: bool,
    /// Size of the disk in the guest, in bytes.
    pub size: u64,
    pub sector: SectorSize,
    pub scheme: Scheme,
    pub table: TableFacts,
    /// In the order of the partition table.
    pub partitions: Vec<PartitionFacts>,
    /// The expected layout, if a plan or template was given.
    pub plan: Option<plan::Plan>,
    pub boot_paths: BootPaths,
    /// dm-verity filesystems, by the root hashes on kernel command lines.
    pub verity: Vec<VerityFacts>,
    /// The installed system, if a root filesystem was found.
    pub system: Option<System>,
}

/// A root hash on a kernel command line.
pub struct VerityFacts {
    /// `roothash=…` or `usrhash=…`.
    pub option: String,
    /// The loader entry with this command line.
    pub entry: FileAt,
    /// The entry is not the default.
    pub is_alternative: bool,
    /// The data partition, if it was found.
    pub partition: Option<u32>,
    /// The partition of the hash tree, if it was found.
    pub tree: Option<u32>,
    /// What is wrong with the hash or the partitions.
    pub fault: Option<String>,
}

/// How a disk is partitioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Also if there is no readable partition table.
    Gpt,
    Mbr,
    /// No partition table: a filesystem fills the disk.
    Whole,
}

impl Facts {
    /// The disk of the plan that matches this image: the one with the same GUID, or the first one.
    pub fn planned(&self) -> Option<&plan::Disk> {
        let disks = &self.plan.as_ref()?.disks;
        let guid = self.table.valid().map(|(header, _)| header.disk_guid);
        disks.iter().find(|disk| Some(disk.guid) == guid).or(disks.first())
    }

    /// Whether a device name refers to a partition that the plan has on another disk. That disk was not examined.
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

    /// Number of sectors of the disk.
    pub fn sectors(&self) -> u64 {
        self.size / self.sector.bytes()
    }
}

/// One copy of the GPT.
pub struct TableCopy {
    pub header: Result<GptHeader, HeaderError>,
    /// CRC32 computed from the entry array; `None` if it could not be read.
    pub array_crc: Option<u32>,
    pub entries: Vec<GptEntry>,
}

pub struct TableFacts {
    pub mbr: Result<(), MbrError>,
    /// The partitions of the MBR, if there are any.
    pub records: Option<Mbr>,
    pub primary: TableCopy,
    /// From the last sector of the disk.
    pub backup: TableCopy,
    /// The boot code of sector 0.
    pub boot_code: Vec<u8>,
    /// The bytes from the first usable sector to the first partition.
    pub gap: Vec<u8>,
    /// Up to 1 MiB from the sector that GRUB's boot code refers to.
    pub core: Vec<u8>,
}

impl TableFacts {
    /// The copy to use: the primary one, or the backup if only that is intact.
    pub fn valid(&self) -> Option<(&GptHeader, &[GptEntry])> {
        [&self.primary, &self.backup].into_iter().find_map(|copy| {
            let header = copy.header.as_ref().ok()?;
            (copy.array_crc == Some(header.entries_crc)).then_some((header, copy.entries.as_slice()))
        })
    }
}

/// The result of fsck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fsck {
    Clean,
    /// The last lines of its output.
    Damaged(Vec<String>),
    /// There is no fsck for this type of filesystem.
    None,
}

pub struct PartitionFacts {
    /// The partition table entry. For an MBR it has a type GUID, but no unique GUID. Number 0 is a filesystem that
    /// fills the disk.
    pub entry: GptEntry,
    /// The value for PARTUUID=; `None` without a partition table.
    pub partuuid: Option<String>,
    /// Offset in the disk, in bytes.
    pub offset: u64,
    pub size: Bytes,
    /// The content of the partition, inside LUKS if that was unlocked.
    pub kind: Option<VolumeKind>,
    /// The LUKS volume around the content.
    pub luks: Option<LuksFacts>,
    pub uuid: Option<String>,
    pub label: Option<String>,
    pub free: Option<Bytes>,
    /// Number of clusters of a FAT32 filesystem that has too few of them.
    pub fat_mismatch: Option<u32>,
    /// Number of hidden sectors that a FAT filesystem records; 0 if it records none.
    pub hidden_sectors: u32,
    /// Why the filesystem could not be read.
    pub unreadable: Option<String>,
    pub fsck: Fsck,
}

pub struct LuksFacts {
    pub uuid: String,
    /// What is wrong with the LUKS headers.
    pub damage: Option<String>,
    /// No passphrase unlocked the volume, so its contents are unknown.
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
