//! The partition table: both copies, what they say, and the protective MBR.

use crate::finding::Level;
use crate::plan::layout::gpt::MbrFault;
use crate::plan::layout::{Lba, first_usable, last_usable};
use crate::verify::facts::{Facts, Scheme, TableCopy, TableFacts};
use crate::verify::rule::{Check, Findings, Rule};
use std::collections::HashMap;

pub(super) static GPT_PRIMARY: Rule = Rule {
    name: "gpt-primary",
    summary: "the primary partition table is damaged",
    level: Level::Error,
    why: "Firmware and kernel read the header in the disk's second sector. Some fall back to the backup, others find no \
          partitions at all. Source: UEFI 2.10, section 5.3.2.",
    check: Check::Disk(primary),
};

fn primary(facts: &Facts, out: &mut Findings) {
    header(&facts.table.primary, Lba(1), "primary", facts, out);
}

pub(super) static GPT_BACKUP: Rule = Rule {
    name: "gpt-backup",
    summary: "the backup partition table is damaged or not at the end of the disk",
    level: Level::Error,
    why: "The backup header belongs into the disk's last sector. Where it is not, an image was cut or padded after it was \
          made: tools refuse to change the table, and a damaged primary cannot be repaired. Source: UEFI 2.10, section \
          5.3.2.",
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
            out.report(format!("the {name} header in LBA {at}: {fault}"))
                .help("`sgdisk --verify` shows both; build the image again")
                .level(level(copy, facts));
            return;
        }
        Ok(header) => header,
    };
    if header.own != at {
        out.report(format!("the {name} header in LBA {at} says that it is in LBA {}", header.own));
    }
    let last = Lba(facts.sectors().saturating_sub(1));
    let other = if at == last { Lba(1) } else { last };
    if header.other != other {
        out.report(format!(
            "the {name} header says that the other one is in LBA {}, expected {other}",
            header.other
        ))
        .help("the disk's size has changed after the table was written: `sgdisk --move-second-header`")
        // A disk that was made larger is so until its first boot.
        .level(if facts.plan.is_none() { Level::Warning } else { Level::Error });
    }
    if header.first_usable < first_usable(facts.sector)
        || last_usable(facts.sector, facts.sectors()).is_none_or(|last| header.last_usable > last)
    {
        out.report(format!(
            "the {name} header gives partitions LBA {} to {}, where the tables themselves are",
            header.first_usable, header.last_usable
        ));
    }
}

/// Firmware and kernel go by the other copy where that is whole, so a disk of others still boots. Of our own nothing may be damaged.
/// Sources: UEFI 2.10, section 5.3.2; Linux, block/partitions/efi.c, find_valid_gpt.
fn level(copy: &TableCopy, facts: &Facts) -> Level {
    let TableFacts { primary, backup, .. } = &facts.table;
    let other = if std::ptr::eq(copy, primary) { backup } else { primary };
    let is_whole = other.header.as_ref().is_ok_and(|header| other.array_crc == Some(header.entries_crc));
    if is_whole && facts.plan.is_none() { Level::Warning } else { Level::Error }
}

pub(super) static GPT_ENTRIES: Rule = Rule {
    name: "gpt-entries",
    summary: "the entries of a partition table are damaged",
    level: Level::Error,
    why: "Each header carries the CRC32 of its entry array. Firmware takes a table whose entries do not fit for invalid. \
          Source: UEFI 2.10, section 5.3.2, table 5.5, PartitionEntryArrayCRC32.",
    check: Check::Disk(entries),
};

fn entries(facts: &Facts, out: &mut Findings) {
    for (copy, name) in [(&facts.table.primary, "primary"), (&facts.table.backup, "backup")] {
        let Ok(header) = &copy.header else { continue };
        match copy.array_crc {
            None => {
                out.report(format!("the {name} table's entries in LBA {} cannot be read", header.entries))
                    .level(level(copy, facts));
            }
            Some(computed) if computed != header.entries_crc => {
                out.report(format!(
                    "the {name} table's entries have CRC32 {computed:08x}, its header says {:08x}",
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
    summary: "the two partition tables say different things",
    level: Level::Error,
    why: "Whoever falls back to the backup gets another disk. Source: UEFI 2.10, section 5.3.2.",
    check: Check::Disk(copies),
};

fn copies(facts: &Facts, out: &mut Findings) {
    let (primary, backup) = (&facts.table.primary, &facts.table.backup);
    let (Ok(first), Ok(second)) = (&primary.header, &backup.header) else { return };
    if first.disk_guid != second.disk_guid {
        out.report(format!(
            "the disk GUID is {} in the primary and {} in the backup table",
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
        out.report(format!("primary and backup table disagree about partition {number}")).partition(number);
    }
}

pub(super) static GPT_BOUNDS: Rule = Rule {
    name: "gpt-bounds",
    summary: "a partition lies outside the disk, in the tables, or in another partition",
    level: Level::Error,
    why: "Two owners of one block destroy each other, and what lies past the end is not there. Source: UEFI 2.10, section \
          5.3.3.",
    check: Check::Disk(bounds),
};

fn bounds(facts: &Facts, out: &mut Findings) {
    let Some((header, entries)) = facts.table.valid() else { return };
    for entry in entries {
        if entry.last < entry.first {
            out.report(format!(
                "partition {} ends at LBA {}, before it starts at {}",
                entry.number, entry.last, entry.first
            ))
            .partition(entry.number);
        } else if entry.last.0 >= facts.sectors() {
            out.report(format!(
                "partition {} ends at LBA {}, the disk has {} sectors",
                entry.number,
                entry.last,
                facts.sectors()
            ))
            .partition(entry.number)
            .help("the image was cut: get it again");
        } else if entry.first < header.first_usable || entry.last > header.last_usable {
            out.report(format!(
                "partition {} is LBA {} to {}, outside the usable {} to {}",
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
    summary: "a partition has no GUID of its own",
    level: Level::Error,
    why: "PARTUUID= finds whichever comes first. Source: UEFI 2.10, table 5.7, UniquePartitionGUID.",
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
            out.report(format!("partition {} has the GUID 0", entry.number)).partition(entry.number);
        } else if let Some(before) = seen.insert(entry.guid, entry.number) {
            out.report(format!("partitions {before} and {} have the same GUID {}", entry.number, entry.guid))
                .partition(entry.number);
        }
    }
}

pub(super) static MBR_PROTECTIVE: Rule = Rule {
    name: "mbr-protective",
    summary: "no protective MBR keeps old tools away",
    level: Level::Error,
    why: "A program that knows no GPT takes the disk for empty, and some BIOSes do not boot it. Source: UEFI 2.10, section \
          5.2.3.",
    check: Check::Disk(mbr),
};

fn mbr(facts: &Facts, out: &mut Findings) {
    if let (Scheme::Gpt, Err(fault)) = (facts.scheme, &facts.table.mbr) {
        let added = out.report(format!("the protective MBR: {fault}"));
        // Firmware and kernel look at its type and its start. Sources: EDK2, MdeModulePkg, PartitionDxe/Gpt.c; Linux,
        // block/partitions/efi.c, is_pmbr_valid.
        if matches!(fault, MbrFault::Length { .. }) {
            added.level(Level::Warning);
        }
    }
}

pub(super) static MBR_TABLE: Rule = Rule {
    name: "mbr-table",
    summary: "the partitions of an MBR overlap, or lie outside the disk",
    level: Level::Error,
    why: "The kernel cuts them off or leaves them out, and what is written to one damages another. Sources: UEFI 2.10, section 5.2.1; \
          Linux, block/partitions/msdos.c.",
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
                "partition {} is LBA {} to {}, the disk has {} sectors",
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
