//! Where partitions lie, and whether firmware finds what it starts.

use crate::finding::Level;
use crate::plan::layout::ALIGNMENT;
use crate::plan::{ESP, Firmware};
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static PARTITION_ALIGNMENT: Rule = Rule {
    name: "partition-alignment",
    summary: "a partition does not start or end on a whole MiB",
    level: Level::Warning,
    why: "Disks and storage networks work in blocks of up to 1 MiB: a partition across them costs every write a second one. \
          Source: ister's own layout; Linux, Documentation/ABI/stable/sysfs-block, optimal_io_size.",
    check: Check::Disk(alignment),
};

fn alignment(facts: &Facts, out: &mut Findings) {
    for partition in facts.partitions.iter().filter(|partition| partition.entry.number != 0) {
        for (what, at) in [("starts", partition.offset), ("ends", partition.offset + partition.size.0)] {
            if at % ALIGNMENT.0 != 0 {
                out.report(format!("partition {} {what} at byte {at}, no whole MiB", partition.entry.number))
                    .partition(partition.entry.number);
            }
        }
    }
}

pub(super) static ESP_LOADER: Rule = Rule {
    name: "esp-loader",
    summary: "UEFI firmware finds no loader, or one that it cannot start",
    level: Level::Error,
    why: "Firmware that knows nothing of a disk starts EFI/BOOT/BOOTX64.EFI from its EFI system partition, and an image is \
          always new to its firmware. Source: UEFI 2.10, section 3.5.1.1.",
    check: Check::Disk(loader),
};

fn loader(facts: &Facts, out: &mut Findings) {
    let has_esp = facts.partitions.iter().any(|p| p.entry.type_guid == ESP);
    let planned = facts.plan.as_ref().and_then(|plan| plan.boot.as_ref()).map(|boot| boot.firmware);
    if planned == Some(Firmware::Uefi) && !has_esp {
        out.report("there is no EFI system partition").help("give /boot a partition of type EFI");
        return;
    }
    super::boot::efi_programs(facts, out);
}

pub(super) static ESP_REPEATED: Rule = Rule {
    name: "esp-repeated",
    summary: "a disk has two EFI system partitions",
    level: Level::Warning,
    why: "Firmware starts from whichever it finds first, and systemd mounts the one that it was started from. Source: UEFI 2.10, section \
          13.3.3; systemd-gpt-auto-generator(8).",
    check: Check::Disk(repeated),
};

fn repeated(facts: &Facts, out: &mut Findings) {
    let esps: Vec<_> = facts.partitions.iter().filter(|p| p.entry.type_guid == ESP).collect();
    if let [first, second, ..] = esps[..] {
        out.report(format!("{} and {} are both EFI system partitions", first.title(), second.title()))
            .partition(second.entry.number);
    }
}
