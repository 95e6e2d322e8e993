//! Where partitions lie, and whether firmware finds what it starts.

use crate::layout::ALIGNMENT;
use crate::lint::Level;
use crate::plan::{ESP, Firmware};
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Found, Rule};

pub static PARTITION_ALIGNMENT: Rule = Rule {
    name: "partition-alignment",
    summary: "a partition does not start or end on a whole MiB",
    level: Level::Warning,
    why: "Disks and storage networks work in blocks of up to 1 MiB: a partition across them costs every write a second one. \
          Source: ister's own layout; Linux, Documentation/ABI/stable/sysfs-block, optimal_io_size.",
    check: Check::Disk(alignment),
};

fn alignment(facts: &Facts, out: &mut Found) {
    for partition in &facts.partitions {
        for (what, at) in [("starts", partition.offset), ("ends", partition.offset + partition.size.0)] {
            if at % ALIGNMENT.0 != 0 {
                out.report(format!("partition {} {what} at byte {at}, no whole MiB", partition.entry.number))
                    .partition(partition.entry.number);
            }
        }
    }
}

pub static ESP_LOADER: Rule = Rule {
    name: "esp-loader",
    summary: "the EFI system partition has no loader that firmware starts by itself",
    level: Level::Error,
    why: "Firmware that knows nothing of a disk starts EFI/BOOT/BOOTX64.EFI from its EFI system partition, and an image is \
          always new to its firmware. Source: UEFI 2.10, section 3.5.1.1.",
    check: Check::Disk(loader),
};

/// The first bytes of every PE program. Source: Microsoft, PE Format, "MS-DOS Stub".
pub const PE: &[u8] = b"MZ";
/// Where firmware looks in the ESP: what the machine is decides which. Source: UEFI 2.10, section 3.5.1.1, table 3.2.
const FALLBACKS: &[&str] = &["EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/BOOTIA32.EFI", "EFI/BOOT/BOOTAA64.EFI"];

fn loader(facts: &Facts, out: &mut Found) {
    let esp = facts.partitions.iter().find(|p| p.entry.type_guid == ESP);
    let by_uefi = facts.plan.as_ref().and_then(|plan| plan.boot.as_ref()).map(|boot| boot.firmware);
    let Some(esp) = esp else {
        if by_uefi == Some(Firmware::Uefi) {
            out.report("there is no EFI system partition").help("give /boot a partition of type EFI");
        }
        return;
    };
    // What is mounted nowhere is not the boot partition of this system, or could not be read: others say that.
    let Some(system) = &facts.system else { return };
    let Some(mounted) = system.mounts.iter().find(|m| m.partition == esp.entry.number) else { return };
    // Names of vfat have no case.
    let found = system.tree.paths().into_iter().find_map(|(path, id)| {
        let path = String::from_utf8_lossy(&path).into_owned();
        let inside = path.strip_prefix(mounted.at.as_str())?.trim_start_matches('/');
        FALLBACKS.iter().any(|fallback| inside.eq_ignore_ascii_case(fallback)).then_some((path.clone(), id))
    });
    match found {
        None => {
            out.report("there is no EFI/BOOT/BOOTX64.EFI")
                .partition(esp.entry.number)
                .help("the bundle `bootloader` brings systemd-boot; look at what hooks do with EFI/BOOT");
        }
        Some((path, id)) => {
            let starts = system.texts.get(&id).is_some_and(|bytes| bytes.starts_with(PE));
            if !starts {
                out.report("the loader is no program: it does not begin with `MZ`")
                    .partition(esp.entry.number)
                    .path(path);
            }
        }
    }
}
