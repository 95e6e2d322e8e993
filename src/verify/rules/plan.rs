//! Comparison of the image with its plan.

use crate::disk::VolumeKind;
use crate::finding::Level;
use crate::plan::Partition;
use crate::template::FilesystemType;
use crate::verify::facts::{Facts, PartitionFacts};
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static PLAN_DISK: Rule = Rule {
    name: "plan-disk",
    summary: "the disk differs from the plan",
    level: Level::Error,
    why: "The plan defines size, sector size and GUID of the disk. A difference usually means that the \
          plan belongs to another image or template. Source: `ister plan`.",
    check: Check::Disk(disk),
};

fn disk(facts: &Facts, out: &mut Findings) {
    let Some(disk) = facts.planned() else { return };
    if facts.sector != disk.sector_size {
        out.report(format!(
            "sector size is {} bytes, the plan has {}",
            facts.sector.bytes(),
            disk.sector_size.bytes()
        ));
    }
    if facts.size != disk.size.0 {
        out.report(format!("disk size is {} bytes, the plan has {}", facts.size, disk.size.0));
    }
    if let Some((header, _)) = facts.table.valid()
        && header.disk_guid != disk.guid
    {
        out.report(format!("disk GUID is {}, the plan has {}", header.disk_guid, disk.guid));
    }
}

pub(super) static PLAN_PARTITION: Rule = Rule {
    name: "plan-partition",
    summary: "a partition differs from the plan",
    level: Level::Error,
    why: "systemd units and loader entries refer to the planned positions, types and GUIDs. Source: \
          `ister plan`.",
    check: Check::Disk(partitions),
};

fn partitions(facts: &Facts, out: &mut Findings) {
    let (Some(disk), Some((_, entries))) = (facts.planned(), facts.table.valid()) else { return };
    for planned in &disk.partitions {
        let number = planned.number;
        let Some(entry) = entries.iter().find(|entry| entry.number == number) else {
            out.report(format!("{} is missing", planned.title())).partition(number);
            continue;
        };
        let attributes = u64::from(planned.legacy_boot) << 2 | u64::from(planned.no_auto) << 63;
        let pairs = [
            ("first LBA", entry.first.to_string(), planned.first_lba.to_string()),
            ("last LBA", entry.last.to_string(), planned.last_lba.to_string()),
            ("type GUID", entry.type_guid.to_string(), planned.type_guid.to_string()),
            ("GUID", entry.guid.to_string(), planned.guid.to_string()),
            ("name", format!("`{}`", entry.name), format!("`{}`", planned.name)),
            ("attributes", format!("{:#x}", entry.attributes), format!("{attributes:#x}")),
        ];
        for (field, found, expected) in pairs {
            if found != expected {
                out.report(format!("{field} of partition {number} is {found}, the plan has {expected}"))
                    .partition(number);
            }
        }
    }
    for entry in entries {
        if !disk.partitions.iter().any(|p| p.number == entry.number) && !disk.keeps_table {
            out.report(format!("partition {} (`{}`) is not in the plan", entry.number, entry.name))
                .partition(entry.number);
        }
    }
}

pub(super) static PLAN_FILESYSTEM: Rule = Rule {
    name: "plan-filesystem",
    summary: "a filesystem differs from the plan",
    level: Level::Error,
    why: "UUID=, LABEL= and GRUB's `search` look for the planned values. Source: `ister plan`.",
    check: Check::Disk(filesystems),
};

fn filesystems(facts: &Facts, out: &mut Findings) {
    let Some(disk) = facts.planned() else { return };
    for planned in &disk.partitions {
        if let Some(found) = facts.partition(planned.number) {
            compare(planned, found, out);
        }
    }
}

fn compare(planned: &Partition, found: &PartitionFacts, out: &mut Findings) {
    let number = planned.number;
    match (&planned.encryption, &found.luks) {
        (Some(encryption), Some(luks)) if luks.damage.is_none() => {
            if luks.uuid != encryption.uuid.to_string() {
                out.report(format!("LUKS UUID is {}, the plan has {}", luks.uuid, encryption.uuid))
                    .partition(number);
            }
            if luks.locked {
                return;
            }
        }
        (Some(_), Some(_)) => return,
        (Some(_), None) => {
            out.report(format!("{} is not encrypted, but planned as encrypted", planned.title()))
                .partition(number);
            return;
        }
        (None, Some(_)) => {
            out.report(format!("{} is encrypted, but planned as unencrypted", planned.title()))
                .partition(number);
            return;
        }
        (None, None) => {}
    }
    let Some(filesystem) = planned.filesystem.as_ref().filter(|f| !f.keep) else { return };
    if found.kind != Some(kind(filesystem.kind)) {
        let is = found.kind.map_or("nothing recognized".to_owned(), |kind| kind.to_string());
        out.report(format!("{} contains {is}, the plan has {}", planned.title(), filesystem.kind))
            .partition(number);
        return;
    }
    if found.unreadable.is_some() {
        return;
    }
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    for (field, is, should) in
        [("UUID", &found.uuid, &filesystem.uuid), ("label", &found.label, &filesystem.label)]
    {
        if (field == "label" || is.is_some()) && is != should {
            out.report(format!(
                "filesystem {field} of partition {number} is {}, the plan has {}",
                or_none(is),
                or_none(should)
            ))
            .partition(number);
        }
    }
}

fn kind(planned: FilesystemType) -> VolumeKind {
    match planned {
        FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4 => VolumeKind::Ext,
        FilesystemType::Vfat => VolumeKind::Vfat,
        FilesystemType::Btrfs => VolumeKind::Btrfs,
        FilesystemType::Xfs => VolumeKind::Xfs,
        FilesystemType::Swap => VolumeKind::Swap,
    }
}
