//! The boot sector: the filesystem's geometry, validated before anything else uses it.

use crate::disk::bytes::{damaged, read, u16_at, u32_at};
use crate::disk::source::{ReadError, Source};
use crate::plan::capacity::fat::MOST_12;
use std::ops::Range;

pub(super) use crate::plan::capacity::fat::{ENTRY_SIZE, Width};

/// Bytes of the boot sector that are defined for every sector size.
const BOOT_SIZE: usize = 512;
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
/// Signature of a boot sector with volume ID and label.
const EXTENDED: u8 = 0x29;
/// The label of a filesystem without one.
pub(super) const NO_LABEL: &[u8; 11] = b"NO NAME    ";
/// The most clusters of a FAT16 filesystem; FAT32 has more. Source: Microsoft, FAT: General Overview of On-Disk Format,
/// "FAT Type Determination".
pub(super) const MOST_16: u32 = 65_524;
/// Number of the first cluster.
pub(super) const FIRST_CLUSTER: u32 = 2;

/// Geometry of the filesystem. Offsets are bytes from the filesystem's start.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    pub width: Width,
    pub sector_size: u64,
    pub cluster_size: u64,
    pub reserved: Range<u64>,
    /// The copies of the file allocation table.
    pub tables: Vec<Range<u64>>,
    /// Root directory; empty on FAT32, where it is a cluster chain.
    pub root: Range<u64>,
    /// First cluster of the root directory on FAT32.
    pub root_cluster: u32,
    pub clusters_start: u64,
    pub clusters: u32,
    /// Sectors of the free-space hints (FSInfo) and of the backup boot sector; 0 if there are none.
    pub info_sector: u64,
    pub backup_sector: u64,
    /// Hidden sectors: the sectors before the filesystem on the disk; 0 if unknown.
    pub hidden: u32,
    pub volume_id: Option<u32>,
    pub label: Option<[u8; 11]>,
    /// Set while the filesystem is mounted.
    pub is_dirty: bool,
}

impl Boot {
    pub(super) fn read(source: &dyn Source) -> Result<Boot, ReadError> {
        let bytes = read(source, 0, BOOT_SIZE)?;
        if bytes[510..] != SIGNATURE {
            return Err(fault(510, "missing signature 55 aa at the end".to_owned()));
        }
        let boot = Boot::parse(&bytes)?;
        let end = boot.end();
        if end > source.size() {
            let sectors = if u16_at(&bytes, 19) == 0 { 32 } else { 19 };
            let problem =
                format!("the filesystem ends at byte {end}, but only {} bytes exist", source.size());
            return Err(fault(sectors, problem));
        }
        Ok(boot)
    }

    fn parse(bytes: &[u8]) -> Result<Boot, ReadError> {
        let sector_size = u64::from(u16_at(bytes, 11));
        if !(512..=4096).contains(&sector_size) || !sector_size.is_power_of_two() {
            return Err(fault(11, format!("sector size of {sector_size} bytes")));
        }
        let cluster_size = u64::from(bytes[13]) * sector_size;
        if !bytes[13].is_power_of_two() {
            return Err(fault(13, format!("{} sectors per cluster", bytes[13])));
        }
        let (reserved, tables) = (u64::from(u16_at(bytes, 14)), u64::from(bytes[16]));
        if reserved == 0 || tables == 0 {
            return Err(fault(14, format!("{reserved} reserved sectors and {tables} tables")));
        }
        let or_wide = |narrow: usize, wide: usize| match u16_at(bytes, narrow) {
            0 => u64::from(u32_at(bytes, wide)),
            narrow => u64::from(narrow),
        };
        let is_32 = u16_at(bytes, 22) == 0;
        let table_size = or_wide(22, 36) * sector_size;
        let root_size = (u64::from(u16_at(bytes, 17)) * ENTRY_SIZE).next_multiple_of(sector_size);
        let tables_start = reserved * sector_size;
        let root_start = tables_start + tables * table_size;
        let clusters_start = root_start + root_size;
        let end = or_wide(19, 32) * sector_size;
        let clusters = end.saturating_sub(clusters_start) / cluster_size;
        let width = match clusters {
            _ if is_32 => Width::Bits32,
            ..=MOST_12 => Width::Bits12,
            _ => Width::Bits16,
        };
        let entries = match width {
            Width::Bits12 => table_size * 2 / 3,
            Width::Bits16 => table_size / 2,
            Width::Bits32 => table_size / 4,
        };
        let is_counted = clusters > 0 && clusters + u64::from(FIRST_CLUSTER) <= entries;
        if !is_counted || clusters >= u64::from(super::table::LAST_CLUSTER) {
            return Err(fault(22, format!("{clusters} clusters, but {entries} table entries")));
        }
        // The extended boot record has another offset on FAT32.
        let extended = if is_32 { 64 } else { 36 };
        let has_extended = bytes[extended + 2] == EXTENDED;
        let label: [u8; 11] = bytes[extended + 7..extended + 18].try_into().expect("slice of 11 bytes");
        Ok(Boot {
            width,
            sector_size,
            cluster_size,
            reserved: 0..tables_start,
            tables: (0..tables)
                .map(|index| tables_start + index * table_size..tables_start + (index + 1) * table_size)
                .collect(),
            root: root_start..clusters_start,
            root_cluster: if is_32 { u32_at(bytes, 44) } else { 0 },
            clusters_start,
            clusters: clusters as u32,
            info_sector: if is_32 { u64::from(u16_at(bytes, 48)) } else { 0 },
            backup_sector: if is_32 { u64::from(u16_at(bytes, 50)) } else { 0 },
            hidden: u32_at(bytes, 28),
            volume_id: has_extended.then(|| u32_at(bytes, extended + 3)),
            label: (has_extended && label != *NO_LABEL).then_some(label),
            is_dirty: bytes[extended + 1] & 1 != 0,
        })
    }

    /// The end of the last cluster.
    pub(super) fn end(&self) -> u64 {
        self.clusters_start + u64::from(self.clusters) * self.cluster_size
    }

    /// Whether the cluster number is valid.
    pub(super) fn has_cluster(&self, cluster: u32) -> bool {
        cluster >= FIRST_CLUSTER && cluster - FIRST_CLUSTER < self.clusters
    }

    /// The offset of a cluster, whose number must be valid.
    pub(super) fn cluster_place(&self, cluster: u32) -> u64 {
        self.clusters_start + u64::from(cluster - FIRST_CLUSTER) * self.cluster_size
    }
}

fn fault(at: u64, problem: String) -> ReadError {
    damaged("boot sector", at, problem)
}
