//! Filesystems: clean, readable, told apart.

use crate::disk::Kind;
use crate::finding::Level;
use crate::plan::Firmware;
use crate::verify::facts::{Facts, Fsck, PartitionFacts, Scheme};
use crate::verify::rule::{Check, Findings, Rule};
use std::collections::HashMap;

pub(super) static FILESYSTEM_DAMAGED: Rule = Rule {
    name: "filesystem-damaged",
    summary: "a filesystem's own fsck finds faults",
    level: Level::Error,
    why: "The first boot would repair it, refuse to mount it, or go on and lose files. Source: e2fsck(8), fsck.fat(8), \
          xfs_repair(8), btrfs-check(8), each run read-only.",
    check: Check::Disk(damaged),
};

fn damaged(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        if let Fsck::Damaged(said) = &partition.fsck {
            let lines: Vec<&str> = said
                .iter()
                .map(String::as_str)
                .filter(|line| !line.starts_with("e2fsck 1.") && !line.starts_with("fsck.fat "))
                .take(3)
                .collect();
            let lines = if lines.is_empty() { vec!["it ended with a fault"] } else { lines };
            out.report(format!("{} is not clean: {}", partition.title(), lines.join("; ")))
                .partition(partition.entry.number);
        }
    }
}

pub(super) static FILESYSTEM_UNREADABLE: Rule = Rule {
    name: "filesystem-unreadable",
    summary: "a filesystem contradicts itself",
    level: Level::Error,
    why: "What cannot be read cannot be verified, and a kernel would refuse it too. Source: each format's specification; \
          `ister diff` describes structures by the same readers.",
    check: Check::Disk(unreadable),
};

fn unreadable(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        if let Some(reason) = &partition.unreadable {
            out.report(format!("{} cannot be read: {reason}", partition.title()))
                .partition(partition.entry.number);
        }
    }
}

pub(super) static FILESYSTEM_MISSING: Rule = Rule {
    name: "filesystem-missing",
    summary: "a partition holds nothing that is known",
    level: Level::Error,
    why: "Its first bytes carry no signature of ext2, ext3, ext4, vfat, XFS, btrfs, swap or LUKS: nothing can be mounted \
          there. Source: libblkid's probes.",
    check: Check::Disk(missing),
};

fn missing(facts: &Facts, out: &mut Findings) {
    for partition in facts.partitions.iter().filter(|p| p.kind.is_none() && p.luks.is_none()) {
        let number = partition.entry.number;
        let planned = facts.planned().and_then(|disk| disk.partitions.iter().find(|p| p.number == number));
        // One that is meant to be empty is.
        if planned.is_some_and(|p| p.filesystem.is_none()) || is_raw(partition) {
            continue;
        }
        out.report(format!("{} holds no filesystem that is known", partition.title())).partition(number);
    }
}

/// The BIOS boot partition, whose bytes are GRUB's alone. Source: GRUB manual, "BIOS installation".
fn is_raw(partition: &PartitionFacts) -> bool {
    partition.entry.type_guid == uuid::uuid!("21686148-6449-6e6f-744e-656564454649")
}

pub(super) static FILESYSTEM_NOT_READ: Rule = Rule {
    name: "filesystem-not-read",
    summary: "a partition holds something that is known and not read",
    level: Level::Note,
    why: "What is in it is not judged: f2fs, LVM, RAID, ZFS and others are identified by signature only, and so is a dm-verity tree whose \
          root hash no command line has. Source: \
          libblkid's probes.",
    check: Check::Disk(not_read),
};

fn not_read(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        let Some(Kind::Other(name)) = partition.kind else { continue };
        let is_checked = facts.verity.iter().any(|verity| verity.tree == Some(partition.entry.number));
        if !is_checked {
            out.report(format!("{}: {name}, whose content is not judged", partition.title()))
                .partition(partition.entry.number);
        }
    }
}

pub(super) static ESP_CLUSTERS: Rule = Rule {
    name: "esp-clusters",
    summary: "a FAT32 has too few clusters for UEFI firmware",
    level: Level::Error,
    why: "The number of clusters says which FAT it is: below 65525 firmware takes a FAT32 for a FAT16, and reads nothing of it. Sources: \
          Microsoft, FAT: General Overview of On-Disk Format, \"FAT Type Determination\"; UEFI 2.10, section 13.3.",
    check: Check::Disk(clusters),
};

fn clusters(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        let Some(clusters) = partition.fat_mismatch else { continue };
        let number = partition.entry.number;
        let is_started = facts.boot_paths.paths.iter().any(|path| {
            path.firmware == Firmware::Uefi
                && path.start.file.as_ref().is_some_and(|at| at.partition == number)
        });
        let level = if is_started { Level::Error } else { Level::Note };
        out.report(format!("{} is FAT32 with {clusters} clusters, fewer than 65525", partition.title()))
            .partition(number)
            .level(level)
            .help("make it FAT16 (`mkfs.vfat -F 16`), give it smaller clusters (`-s 1`), or make it larger");
    }
}

pub(super) static FILESYSTEM_PLACE: Rule = Rule {
    name: "filesystem-place",
    summary: "a FAT filesystem was formatted for another position on the disk",
    level: Level::Warning,
    why: "BIOS boot sectors add the number of hidden sectors to every address, and would read the wrong ones. Linux and UEFI ignore it. \
          Source: Microsoft, FAT: General Overview of On-Disk Format, \"BPB_HiddSec\".",
    check: Check::Disk(place),
};

fn place(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        let (said, start) = (u64::from(partition.hidden_sectors), partition.offset / 512);
        // A logical drive's are counted from its own record: DOS and its heirs do so.
        let is_logical = partition.entry.number > 4 && facts.scheme == Scheme::Mbr;
        if said == 0 || is_logical || [start, partition.offset / facts.sector.bytes()].contains(&said) {
            continue;
        }
        let starts_here = facts.boot_paths.paths.iter().any(|path| path.firmware == Firmware::Bios);
        let message =
            format!("{} has {said} hidden sectors, but it starts at sector {start}", partition.title());
        out.report(message)
            .partition(partition.entry.number)
            .level(if starts_here { Level::Warning } else { Level::Note })
            .help(format!("write the sector that the partition begins with, as `mkfs.vfat -h {start}` does"));
    }
}

pub(super) static LABEL_REPEATED: Rule = Rule {
    name: "label-repeated",
    summary: "two filesystems have the same label",
    level: Level::Warning,
    why: "LABEL= finds whichever the kernel sees first. Source: fstab(5).",
    check: Check::Disk(labels),
};

fn labels(facts: &Facts, out: &mut Findings) {
    repeated(facts, "label", |partition| partition.label.clone(), out);
}

pub(super) static UUID_REPEATED: Rule = Rule {
    name: "uuid-repeated",
    summary: "two filesystems have the same UUID",
    level: Level::Error,
    why: "UUID= finds whichever the kernel sees first, and XFS and btrfs refuse to mount the second. Source: fstab(5); \
          xfs(5), nouuid.",
    check: Check::Disk(uuids),
};

fn uuids(facts: &Facts, out: &mut Findings) {
    repeated(facts, "UUID", |partition| partition.uuid.clone(), out);
}

fn repeated(facts: &Facts, what: &str, key: impl Fn(&PartitionFacts) -> Option<String>, out: &mut Findings) {
    let mut seen = HashMap::new();
    for partition in &facts.partitions {
        let Some(text) = key(partition) else { continue };
        if let Some(before) = seen.insert(text.clone(), partition.entry.number) {
            out.report(format!(
                "partitions {before} and {} have the same {what} `{text}`",
                partition.entry.number
            ))
            .partition(partition.entry.number);
        }
    }
}

pub(super) static LUKS_HEADER: Rule = Rule {
    name: "luks-header",
    summary: "a LUKS header is damaged",
    level: Level::Error,
    why: "Both copies of the header must be whole and say the same: without one of them a single bad sector loses all data. \
          Source: LUKS2 On-Disk Format Specification 1.1.1, section 2.",
    check: Check::Disk(luks),
};

fn luks(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        if let Some(damage) = partition.luks.as_ref().and_then(|luks| luks.damage.as_ref()) {
            out.report(format!("{}: {damage}", partition.title())).partition(partition.entry.number);
        }
    }
}

pub(super) static LUKS_LOCKED: Rule = Rule {
    name: "luks-locked",
    summary: "what is inside a LUKS volume could not be looked at",
    level: Level::Note,
    why: "Nobody gave a passphrase that opens it; with `--unlock` or a template that has one, it is verified too. Source: \
          `ister verify --help`.",
    check: Check::Disk(locked),
};

fn locked(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        if partition.luks.as_ref().is_some_and(|luks| luks.locked && luks.damage.is_none()) {
            out.report(format!(
                "{} is encrypted, and no passphrase that was given opens it",
                partition.title()
            ))
            .partition(partition.entry.number)
            .help("give one: --unlock env:NAME or --unlock file:PATH");
        }
    }
}
