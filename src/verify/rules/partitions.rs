//! Partition alignment, and EFI system partitions.

use crate::finding::Level;
use crate::plan::layout::ALIGNMENT;
use crate::plan::{ESP, Firmware};
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static PARTITION_ALIGNMENT: Rule = Rule {
    name: "partition-alignment",
    summary: "a partition does not start or end at a multiple of 1 MiB",
    level: Level::Warning,
    why: "Disks and storage networks work in blocks of up to 1 MiB. In a misaligned partition one write \
          can touch two blocks. Source: ister's own layout; Linux, Documentation/ABI/stable/sysfs-block, \
          optimal_io_size.",
    check: Check::Disk(alignment),
};

fn alignment(facts: &Facts, out: &mut Findings) {
    for partition in facts.partitions.iter().filter(|partition| partition.entry.number != 0) {
        for (what, at) in [("starts", partition.offset), ("ends", partition.offset + partition.size.0)] {
            if at % ALIGNMENT.0 != 0 {
                out.report(format!(
                    "partition {} {what} at byte {at}, which is not a multiple of 1 MiB",
                    partition.entry.number
                ))
                .partition(partition.entry.number);
            }
        }
    }
}

pub(super) static ESP_LOADER: Rule = Rule {
    name: "esp-loader",
    summary: "UEFI firmware finds no boot loader, or one that it cannot start",
    level: Level::Error,
    why: "Firmware without a boot entry for a disk starts EFI/BOOT/BOOTX64.EFI from the EFI system \
          partition. There is no boot entry when an image boots for the first time. Source: UEFI 2.10, \
          section 3.5.1.1.",
    check: Check::Disk(loader),
};

fn loader(facts: &Facts, out: &mut Findings) {
    let has_esp = facts.partitions.iter().any(|p| p.entry.type_guid == ESP);
    let planned = facts.plan.as_ref().and_then(|plan| plan.boot.as_ref()).map(|boot| boot.firmware);
    if planned == Some(Firmware::Uefi) && !has_esp {
        out.report("EFI system partition missing").help("add a partition of type EFI, mounted at /boot");
        return;
    }
    super::boot::efi_programs(facts, out);
}

pub(super) static ESP_REPEATED: Rule = Rule {
    name: "esp-repeated",
    summary: "the disk has two EFI system partitions",
    level: Level::Warning,
    why: "Firmware starts from whichever it finds first, and systemd mounts the one it was started from. \
          Source: UEFI 2.10, section 13.3.3; systemd-gpt-auto-generator(8).",
    check: Check::Disk(repeated),
};

fn repeated(facts: &Facts, out: &mut Findings) {
    let esps: Vec<_> = facts.partitions.iter().filter(|p| p.entry.type_guid == ESP).collect();
    if let [first, second, ..] = esps[..] {
        out.report(format!("{} and {} are both EFI system partitions", first.title(), second.title()))
            .partition(second.entry.number);
    }
}
