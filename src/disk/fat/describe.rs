//! Describes what a byte belongs to, for people who compare two images.

use super::boot::{FIRST_CLUSTER, Width};
use super::directory::FatEntry;
use super::reader::Fat;
use super::table::{Next, VisitedClusters};
use crate::disk::tree::PATH_MAX;
use std::ops::Range;

/// Fields of the boot sector: offset and name. First the common fields, then those of FAT12/16 and of FAT32.
const COMMON_FIELDS: &[(u64, &str)] = &[
    (0, "jump to the boot code"),
    (3, "OEM name"),
    (11, "bytes per sector"),
    (13, "sectors per cluster"),
    (14, "reserved sectors"),
    (16, "number of tables"),
    (17, "root entries"),
    (19, "sectors (16 bits)"),
    (21, "media"),
    (22, "sectors per table (16 bits)"),
    (24, "geometry"),
    (28, "hidden sectors"),
    (32, "sectors (32 bits)"),
];
const NARROW_FIELDS: &[(u64, &str)] = &[
    (36, "drive number"),
    (37, "state"),
    (38, "extended boot signature"),
    (39, "volume ID"),
    (43, "label"),
    (54, "type"),
    (62, "boot code"),
    (510, "signature"),
];
const WIDE_FIELDS: &[(u64, &str)] = &[
    (36, "sectors per table"),
    (40, "flags and version"),
    (44, "root cluster"),
    (48, "info sector"),
    (50, "backup sector"),
    (52, "reserved"),
    (64, "drive number"),
    (65, "state"),
    (66, "extended boot signature"),
    (67, "volume ID"),
    (71, "label"),
    (82, "type"),
    (90, "boot code"),
    (510, "signature"),
];

impl Fat<'_> {
    /// What the byte at `offset` belongs to. Never fails: if damage hides the owner, the result is "cluster in use" or
    /// "free space", according to the table.
    pub fn describe(&self, offset: u64) -> String {
        let boot = &self.boot;
        if offset < boot.reserved.end {
            return self.describe_reserved(offset);
        }
        if let Some(copy) = boot.tables.iter().position(|table| table.contains(&offset)) {
            return self.describe_table(copy, offset - boot.tables[copy].start);
        }
        if boot.root.contains(&offset) {
            return "directory /".to_owned();
        }
        if offset >= boot.end() {
            return "after the last cluster".to_owned();
        }
        let index = self.index.get_or_init(|| Index::of(self));
        let part = index.find(offset).map(str::to_owned);
        part.unwrap_or_else(|| {
            let cluster = ((offset - boot.clusters_start) / boot.cluster_size) as u32 + FIRST_CLUSTER;
            match self.table.next(cluster) {
                Next::Free => "free space".to_owned(),
                Next::Bad => format!("bad cluster {cluster}"),
                _ => format!("cluster {cluster}, in use but not referenced"),
            }
        })
    }

    fn describe_reserved(&self, offset: u64) -> String {
        let (sector, inside) = (offset / self.boot.sector_size, offset % self.boot.sector_size);
        let field = || {
            let rest = if self.boot.width == Width::Bits32 { WIDE_FIELDS } else { NARROW_FIELDS };
            let fields = COMMON_FIELDS.iter().chain(rest).take_while(|(start, _)| *start <= inside);
            fields.last().map_or("", |(_, name)| *name)
        };
        match sector {
            0 => format!("boot sector, {}", field()),
            sector if sector == self.boot.info_sector => "info sector".to_owned(),
            sector if sector == self.boot.backup_sector => format!("copy of the boot sector, {}", field()),
            sector => format!("reserved sector {sector}"),
        }
    }

    fn describe_table(&self, copy: usize, inside: u64) -> String {
        let entry = match self.boot.width {
            Width::Bits12 => inside * 2 / 3,
            Width::Bits16 => inside / 2,
            Width::Bits32 => inside / 4,
        };
        format!("table {}, entry {entry}", copy + 1)
    }
}

/// Byte ranges and what they belong to.
#[derive(Debug)]
pub(super) struct Index {
    /// Byte ranges with their descriptions, sorted.
    parts: Vec<(Range<u64>, String)>,
}

impl Index {
    /// Collects what can be read and skips the rest.
    fn of(fat: &Fat) -> Index {
        let mut parts = Vec::new();
        let mut add = |runs: &[Range<u32>], name: String| {
            parts.extend(runs.iter().map(|run| (fat.run_bytes(run), name.clone())));
        };
        if fat.boot.width == Width::Bits32
            && let Ok(runs) = fat.chain(&mut VisitedClusters::none(&fat.boot), fat.boot.root_cluster, "/")
        {
            add(&runs, "directory /".to_owned());
        }
        let mut seen = VisitedClusters::none(&fat.boot);
        let root = fat.root(&mut seen).map(|root| root.entries).unwrap_or_default();
        let mut waiting: Vec<(String, FatEntry)> =
            root.into_iter().map(|entry| (String::new(), entry)).collect();
        while let Some((parent, entry)) = waiting.pop() {
            let path = format!("{parent}/{}", entry.name);
            if path.len() >= PATH_MAX {
                continue;
            }
            let Ok(runs) = fat.chain(&mut seen, entry.first_cluster, &path) else { continue };
            if entry.is_directory {
                add(&runs, format!("directory {path}"));
                let inside =
                    fat.directory(&runs, &path).map(|directory| directory.entries).unwrap_or_default();
                waiting.extend(inside.into_iter().map(|entry| (path.clone(), entry)));
            } else {
                add(&runs, format!("data of {path}"));
            }
        }
        parts.sort_by_key(|(bytes, _)| bytes.start);
        Index { parts }
    }

    fn find(&self, offset: u64) -> Option<&str> {
        let next = self.parts.partition_point(|(bytes, _)| bytes.start <= offset);
        self.parts[..next].last().filter(|(bytes, _)| bytes.contains(&offset)).map(|(_, name)| name.as_str())
    }
}
