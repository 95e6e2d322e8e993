//! Filesystems: consistency, readability, unique labels and UUIDs.

use crate::disk::VolumeKind;
use crate::finding::Level;
use crate::plan::Firmware;
use crate::verify::facts::{Facts, Fsck, PartitionFacts, Scheme};
use crate::verify::rule::{Check, Findings, Rule};
use std::collections::HashMap;

pub(super) static FILESYSTEM_DAMAGED: Rule = Rule {
    name: "filesystem-damaged",
    summary: "fsck finds errors in a filesystem",
    level: Level::Error,
    why: "The first boot would repair the filesystem, refuse to mount it, or mount it and lose files. \
          Source: e2fsck(8), fsck.fat(8), xfs_repair(8), btrfs-check(8), each run read-only.",
    check: Check::Disk(damaged),
};

fn damaged(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        if let Fsck::Damaged(output) = &partition.fsck {
            let lines: Vec<&str> = output
                .iter()
                .map(String::as_str)
                .filter(|line| !line.starts_with("e2fsck 1.") && !line.starts_with("fsck.fat "))
                .take(3)
                .collect();
            let lines = if lines.is_empty() { vec!["fsck failed without a message"] } else { lines };
            out.report(format!("fsck reports errors in {}: {}", partition.title(), lines.join("; ")))
                .partition(partition.entry.number);
        }
    }
}

pub(super) static FILESYSTEM_UNREADABLE: Rule = Rule {
    name: "filesystem-unreadable",
    summary: "the structures of a filesystem are inconsistent",
    level: Level::Error,
    why: "A filesystem that cannot be read cannot be verified, and the kernel would refuse to mount it. \
          Source: each format's specification; `ister diff` describes structures by the same readers.",
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
    summary: "a partition contains no recognized filesystem",
    level: Level::Error,
    why: "The partition has no signature of ext2, ext3, ext4, vfat, XFS, btrfs, swap or LUKS, so it \
          cannot be mounted. Source: libblkid's probes.",
    check: Check::Disk(missing),
};

fn missing(facts: &Facts, out: &mut Findings) {
    for partition in facts.partitions.iter().filter(|p| p.kind.is_none() && p.luks.is_none()) {
        let number = partition.entry.number;
        let planned = facts.planned().and_then(|disk| disk.partitions.iter().find(|p| p.number == number));
        // Partitions without a planned filesystem may be empty.
        if planned.is_some_and(|p| p.filesystem.is_none()) || is_raw(partition) {
            continue;
        }
        out.report(format!("no recognized filesystem in {}", partition.title())).partition(number);
    }
}

/// Whether it is a BIOS boot partition, which contains only GRUB's core image. Source: GRUB manual, "BIOS installation".
fn is_raw(partition: &PartitionFacts) -> bool {
    partition.entry.type_guid == uuid::uuid!("21686148-6449-6e6f-744e-656564454649")
}

pub(super) static FILESYSTEM_NOT_READ: Rule = Rule {
    name: "filesystem-not-read",
    summary: "a partition has a recognized type whose contents cannot be checked",
    level: Level::Note,
    why: "f2fs, LVM, RAID, ZFS and others are only identified by their signature; their contents are not \
          checked. The same applies to a dm-verity hash tree whose root hash is on no kernel command \
          line. Source: libblkid's probes.",
    check: Check::Disk(not_read),
};

fn not_read(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        let Some(VolumeKind::Other(name)) = partition.kind else { continue };
        let is_checked = facts.verity.iter().any(|verity| verity.tree == Some(partition.entry.number));
        if !is_checked {
            out.report(format!("{}: {name}, its contents are not checked", partition.title()))
                .partition(partition.entry.number);
        }
    }
}

pub(super) static ESP_CLUSTERS: Rule = Rule {
    name: "esp-clusters",
    summary: "a FAT32 filesystem has too few clusters for UEFI firmware",
    level: Level::Error,
    why: "The number of clusters determines the FAT type. Firmware treats a FAT32 filesystem with fewer \
          than 65525 clusters as FAT16 and cannot read it. Sources: Microsoft, FAT: General Overview of \
          On-Disk Format, \"FAT Type Determination\"; UEFI 2.10, section 13.3.",
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
        out.report(format!(
            "{} is FAT32 with only {clusters} clusters, the minimum is 65525",
            partition.title()
        ))
        .partition(number)
        .level(level)
        .help("use FAT16 (`mkfs.vfat -F 16`), smaller clusters (`mkfs.vfat -s 1`) or a larger partition");
    }
}

pub(super) static FILESYSTEM_PLACE: Rule = Rule {
    name: "filesystem-place",
    summary: "a FAT filesystem was formatted for a different disk position",
    level: Level::Warning,
    why: "BIOS boot sectors add the number of hidden sectors to every address and would read the wrong \
          sectors. Linux and UEFI ignore the field. Source: Microsoft, FAT: General Overview of On-Disk \
          Format, \"BPB_HiddSec\".",
    check: Check::Disk(place),
};

fn place(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        let (hidden, start) = (u64::from(partition.hidden_sectors), partition.offset / 512);
        // DOS and its successors count the hidden sectors of a logical partition from its extended boot record.
        let is_logical = partition.entry.number > 4 && facts.scheme == Scheme::Mbr;
        if hidden == 0 || is_logical || [start, partition.offset / facts.sector.bytes()].contains(&hidden) {
            continue;
        }
        let starts_here = facts.boot_paths.paths.iter().any(|path| path.firmware == Firmware::Bios);
        let message =
            format!("{} has {hidden} hidden sectors, but starts at sector {start}", partition.title());
        out.report(message)
            .partition(partition.entry.number)
            .level(if starts_here { Level::Warning } else { Level::Note })
            .help(format!(
                "set the number of hidden sectors to {start}, for example with `mkfs.vfat -h {start}`"
            ));
    }
}

pub(super) static LABEL_REPEATED: Rule = Rule {
    name: "label-repeated",
    summary: "two filesystems have the same label",
    level: Level::Warning,
    why: "LABEL= resolves to whichever filesystem the kernel finds first. Source: fstab(5).",
    check: Check::Disk(labels),
};

fn labels(facts: &Facts, out: &mut Findings) {
    repeated(facts, "label", |partition| partition.label.clone(), out);
}

pub(super) static UUID_REPEATED: Rule = Rule {
    name: "uuid-repeated",
    summary: "two filesystems have the same UUID",
    level: Level::Error,
    why: "UUID= resolves to whichever filesystem the kernel finds first. XFS and btrfs refuse to mount \
          the second one. Source: fstab(5); xfs(5), nouuid.",
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
    why: "Both copies of the header must be intact and identical. With only one copy left, a single bad \
          sector loses all data. Source: LUKS2 On-Disk Format Specification 1.1.1, section 2.",
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
    summary: "a LUKS volume could not be unlocked",
    level: Level::Note,
    why: "None of the passphrases unlocks the volume, so its contents were not verified. Pass one with \
          `--unlock`, or use a template that contains it. Source: `ister verify --help`.",
    check: Check::Disk(locked),
};

fn locked(facts: &Facts, out: &mut Findings) {
    for partition in &facts.partitions {
        if partition.luks.as_ref().is_some_and(|luks| luks.locked && luks.damage.is_none()) {
            out.report(format!("{} is encrypted, and no passphrase unlocks it", partition.title()))
                .partition(partition.entry.number)
                .help("pass a passphrase with `--unlock env:NAME` or `--unlock file:PATH`");
        }
    }
}
