//! The partition table: both GPT copies, their contents, and the MBR.

use crate::finding::Level;
use crate::plan::Firmware;
use crate::plan::layout::gpt::MbrError;
use crate::plan::layout::{Lba, first_usable, last_usable};
use crate::verify::facts::{Facts, Scheme, TableCopy, TableFacts};
use crate::verify::rule::{Check, Findings, Rule};
use std::collections::HashMap;

pub(super) static GPT_PRIMARY: Rule = Rule {
    name: "gpt-primary",
    summary: "the primary partition table is damaged",
    level: Level::Error,
    why: "Firmware and kernel read the primary GPT header in the second sector. If it is damaged, some \
          fall back to the backup table and others find no partitions. Source: UEFI 2.10, section 5.3.2.",
    check: Check::Disk(primary),
};

fn primary(facts: &Facts, out: &mut Findings) {
    header(&facts.table.primary, Lba(1), "primary", facts, out);
}

pub(super) static GPT_BACKUP: Rule = Rule {
    name: "gpt-backup",
    summary: "the backup partition table is damaged or not at the end of the disk",
    level: Level::Error,
    why: "The backup header belongs in the last sector of the disk. If it is somewhere else, the image \
          was truncated or padded after it was built. Partitioning tools then refuse to change the table, \
          and a damaged primary table cannot be repaired. Source: UEFI 2.10, section 5.3.2.",
    check: Check::Disk(backup),
};

fn backup(facts: &Facts, out: &mut Findings) {
    header(&facts.table.backup, Lba(facts.sectors().saturating_sub(1)), "backup", facts, out);
}

fn header(copy: &TableCopy, at: Lba, name: &str, facts: &Facts, out: &mut Findings) {
    if facts.scheme != Scheme::Gpt {
        return;
    }
    let header = match &copy.header {
        Err(fault) => {
            out.report(format!("the {name} GPT header at LBA {at}: {fault}"))
                .help("inspect both headers with `sgdisk --verify`, then rebuild the image")
                .level(level(copy, facts));
            return;
        }
        Ok(header) => header,
    };
    if header.own != at {
        out.report(format!(
            "the {name} GPT header at LBA {at} has the wrong address for itself: LBA {}",
            header.own
        ));
    }
    let last = Lba(facts.sectors().saturating_sub(1));
    let other = if at == last { Lba(1) } else { last };
    if header.other != other {
        out.report(format!(
            "the {name} GPT header has the wrong address for the other header: LBA {}, expected LBA {other}",
            header.other
        ))
        .help("the disk was resized after the table was written; run `sgdisk --move-second-header`")
        // An image that was enlarged after the build keeps the old address until its first boot.
        .level(if facts.plan.is_none() { Level::Warning } else { Level::Error });
    }
    if header.first_usable < first_usable(facts.sector)
        || last_usable(facts.sector, facts.sectors()).is_none_or(|last| header.last_usable > last)
    {
        out.report(format!(
            "the usable range of the {name} GPT header, LBA {} to {}, overlaps the partition tables",
            header.first_usable, header.last_usable
        ));
    }
}

/// UEFI firmware repairs a copy if the other one is intact, so the disk still boots: a warning. Without UEFI, the kernel
/// ignores the backup unless its command line contains `gpt`. With a plan, any damage is an error. Sources: UEFI 2.10,
/// section 5.3.2; Linux, block/partitions/efi.c, find_valid_gpt.
fn level(copy: &TableCopy, facts: &Facts) -> Level {
    let TableFacts { primary, backup, .. } = &facts.table;
    let is_primary = std::ptr::eq(copy, primary);
    let other = if is_primary { backup } else { primary };
    let has_uefi = facts.boot_paths.paths.iter().any(|path| path.firmware == Firmware::Uefi);
    if is_primary && !has_uefi && !facts.boot_paths.paths.is_empty() {
        return Level::Error;
    }
    let is_whole = other.header.as_ref().is_ok_and(|header| other.array_crc == Some(header.entries_crc));
    if is_whole && facts.plan.is_none() { Level::Warning } else { Level::Error }
}

pub(super) static GPT_ENTRIES: Rule = Rule {
    name: "gpt-entries",
    summary: "the entries of a partition table are damaged",
    level: Level::Error,
    why: "Each header contains the CRC32 of its entry array. Firmware treats a table whose checksum does \
          not match as invalid. Source: UEFI 2.10, section 5.3.2, table 5.5, PartitionEntryArrayCRC32.",
    check: Check::Disk(entries),
};

fn entries(facts: &Facts, out: &mut Findings) {
    for (copy, name) in [(&facts.table.primary, "primary"), (&facts.table.backup, "backup")] {
        let Ok(header) = &copy.header else { continue };
        match copy.array_crc {
            None => {
                out.report(format!(
                    "the entries of the {name} table at LBA {} cannot be read",
                    header.entries
                ))
                .level(level(copy, facts));
            }
            Some(computed) if computed != header.entries_crc => {
                out.report(format!(
                    "the entries of the {name} table have the CRC32 {computed:08x}, but the header contains {:08x}",
                    header.entries_crc
                ))
                .level(level(copy, facts));
            }
            Some(_) => {}
        }
    }
}

pub(super) static GPT_COPIES: Rule = Rule {
    name: "gpt-copies",
    summary: "the primary and the backup partition table differ",
    level: Level::Error,
    why: "Firmware or tools that fall back to the backup table find different partitions. Source: UEFI \
          2.10, section 5.3.2.",
    check: Check::Disk(copies),
};

fn copies(facts: &Facts, out: &mut Findings) {
    let (primary, backup) = (&facts.table.primary, &facts.table.backup);
    let (Ok(first), Ok(second)) = (&primary.header, &backup.header) else { return };
    if first.disk_guid != second.disk_guid {
        out.report(format!(
            "the disk GUID is {} in the primary table, but {} in the backup table",
            first.disk_guid, second.disk_guid
        ));
    }
    let damaged = [primary, backup]
        .iter()
        .any(|copy| copy.header.as_ref().ok().map(|header| header.entries_crc) != copy.array_crc);
    if !damaged && primary.entries != backup.entries {
        let odd = primary
            .entries
            .iter()
            .chain(&backup.entries)
            .find(|entry| !primary.entries.contains(entry) || !backup.entries.contains(entry));
        let number = odd.map_or(0, |entry| entry.number);
        out.report(format!("partition {number} differs between the primary and the backup table"))
            .partition(number);
    }
}

pub(super) static GPT_BOUNDS: Rule = Rule {
    name: "gpt-bounds",
    summary: "a partition overlaps another one or the partition tables, or ends past the end of the disk",
    level: Level::Error,
    why: "Data written to one of two overlapping partitions destroys the other. Data past the end of the \
          disk is lost. Source: UEFI 2.10, section 5.3.3.",
    check: Check::Disk(bounds),
};

fn bounds(facts: &Facts, out: &mut Findings) {
    let Some((header, entries)) = facts.table.valid() else { return };
    for entry in entries {
        if entry.last < entry.first {
            out.report(format!(
                "partition {} ends at LBA {}, before its start at LBA {}",
                entry.number, entry.last, entry.first
            ))
            .partition(entry.number);
        } else if entry.last.0 >= facts.sectors() {
            out.report(format!(
                "partition {} ends at LBA {}, but the disk has {} sectors",
                entry.number,
                entry.last,
                facts.sectors()
            ))
            .partition(entry.number)
            .help("the image is truncated; download it again");
        } else if entry.first < header.first_usable || entry.last > header.last_usable {
            out.report(format!(
                "partition {} is at LBA {} to {}, outside the usable range {} to {}",
                entry.number, entry.first, entry.last, header.first_usable, header.last_usable
            ))
            .partition(entry.number);
        }
    }
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.first);
    for pair in sorted.windows(2) {
        if pair[1].first <= pair[0].last {
            out.report(format!(
                "partition {} starts at LBA {}, inside partition {} (LBA {} to {})",
                pair[1].number, pair[1].first, pair[0].number, pair[0].first, pair[0].last
            ))
            .partition(pair[1].number);
        }
    }
}

pub(super) static GPT_GUID: Rule = Rule {
    name: "gpt-guid",
    summary: "a partition has no unique GUID",
    level: Level::Error,
    why: "PARTUUID= resolves to whichever partition is found first. Source: UEFI 2.10, table 5.7, \
          UniquePartitionGUID.",
    check: Check::Disk(guids),
};

fn guids(facts: &Facts, out: &mut Findings) {
    if facts.scheme != Scheme::Gpt {
        return;
    }
    let mut seen = HashMap::new();
    for partition in &facts.partitions {
        let entry = &partition.entry;
        if entry.guid.is_nil() {
            out.report(format!("partition {} has an all-zero GUID", entry.number)).partition(entry.number);
        } else if let Some(before) = seen.insert(entry.guid, entry.number) {
            out.report(format!("partitions {before} and {} have the same GUID {}", entry.number, entry.guid))
                .partition(entry.number);
        }
    }
}

pub(super) static MBR_PROTECTIVE: Rule = Rule {
    name: "mbr-protective",
    summary: "the protective MBR is missing or damaged",
    level: Level::Error,
    why: "A program without GPT support treats the disk as empty, and some BIOSes do not boot it. Source: \
          UEFI 2.10, section 5.2.3.",
    check: Check::Disk(mbr),
};

fn mbr(facts: &Facts, out: &mut Findings) {
    if let (Scheme::Gpt, Err(fault)) = (facts.scheme, &facts.table.mbr) {
        let added = out.report(format!("protective MBR: {fault}"));
        // Firmware and kernel check only its type and its start. Sources: EDK2, MdeModulePkg, PartitionDxe/Gpt.c; Linux,
        // block/partitions/efi.c, is_pmbr_valid.
        if matches!(fault, MbrError::Length { .. }) {
            added.level(Level::Warning);
        }
    }
}

pub(super) static MBR_TABLE: Rule = Rule {
    name: "mbr-table",
    summary: "MBR partitions overlap or end past the end of the disk",
    level: Level::Error,
    why: "The kernel truncates or ignores such partitions, and data written to one of two overlapping \
          partitions damages the other. Sources: UEFI 2.10, section 5.2.1; Linux, \
          block/partitions/msdos.c.",
    check: Check::Disk(mbr_table),
};

fn mbr_table(facts: &Facts, out: &mut Findings) {
    let (Scheme::Mbr, Some(table)) = (facts.scheme, &facts.table.records) else { return };
    if let Some(fault) = &table.fault {
        out.report(fault.clone());
    }
    let mut sorted: Vec<_> = table.partitions().collect();
    sorted.sort_by_key(|record| record.first);
    for record in &sorted {
        if record.first.0 == 0 || record.last().0 >= facts.sectors() {
            out.report(format!(
                "partition {} is at LBA {} to {}, but the disk has {} sectors",
                record.number,
                record.first,
                record.last(),
                facts.sectors()
            ))
            .partition(record.number);
        }
    }
    for pair in sorted.windows(2) {
        if pair[1].first <= pair[0].last() {
            out.report(format!("partitions {} and {} overlap", pair[0].number, pair[1].number))
                .partition(pair[1].number);
        }
    }
}
