//! GRUB for BIOS: boot sector and core image.

use crate::finding::Level;
use crate::plan::Firmware;
use crate::verify::facts::Facts;
use crate::verify::rule::{Check, Findings, Rule};

pub(super) static GRUB_CORE: Rule = Rule {
    name: "grub-core",
    summary: "the GRUB boot sector or core image is damaged",
    level: Level::Error,
    why: "BIOS runs the boot code in sector 0, which loads the first sector of the core image. That \
          sector contains the location of the rest. Both are compared with the copies that grub-install \
          leaves in /boot/grub/i386-pc. Source: GRUB 2.06, grub-core/boot/i386/pc/boot.S and diskboot.S.",
    check: Check::Disk(core),
};

// Offsets in GRUB's i386-pc images. Source: GRUB 2.06, include/grub/i386/pc/boot.h.
const KERNEL_SECTOR: usize = 0x5c;
const DRIVE_CHECK: usize = 0x66;
const SECTOR: usize = 512;
/// The last block list in the first sector of the core image: first sector of the rest (8 bytes), its length (2), its
/// segment (2).
const BLOCK_LIST: usize = SECTOR - 12;

fn core(facts: &Facts, out: &mut Findings) {
    let Some(system) = &facts.system else { return };
    let planned = facts.plan.as_ref().and_then(|plan| plan.boot.as_ref()).map(|boot| boot.firmware);
    let code = &facts.table.boot_code;
    let is_grub = code.windows(4).any(|window| window == b"GRUB");
    if planned != Some(Firmware::Bios) && !is_grub {
        return;
    }
    if !is_grub {
        out.report("sector 0 contains no GRUB boot code")
            .help("rebuild the image with `\"LegacyBios\": true`");
        return;
    }
    if let Some(original) = system.bytes("/boot/grub/i386-pc/boot.img") {
        // grub-install changes the location of the core image, the drive check and the disk parameters.
        let differs = (0..code.len().min(original.len())).find(|at| {
            let patched = (KERNEL_SECTOR..KERNEL_SECTOR + 8).contains(at)
                || (DRIVE_CHECK..DRIVE_CHECK + 2).contains(at)
                || (3..KERNEL_SECTOR).contains(at);
            !patched && code[*at] != original[*at]
        });
        if let Some(at) = differs {
            out.report(format!("the boot code in sector 0 differs from boot.img at byte {at}"));
        }
    }
    let first = code
        .get(KERNEL_SECTOR..KERNEL_SECTOR + 8)
        .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
    let installed = &facts.table.core;
    let Some(original) = system.bytes("/boot/grub/i386-pc/core.img").filter(|_| facts.plan.is_some()) else {
        return;
    };
    // grub-install writes the block list, so it differs from the file.
    let differs = (0..original.len())
        .find(|at| !(BLOCK_LIST..SECTOR).contains(at) && installed.get(*at) != Some(&original[*at]));
    if let Some(at) = differs {
        out.report(format!("the core image differs from core.img at byte {at}"))
            .path("/boot/grub/i386-pc/core.img")
            .help(
                "the gap between the partition table and the first partition was overwritten; rebuild the image",
            );
    }
    let list =
        |range: std::ops::Range<usize>| installed.get(BLOCK_LIST + range.start..BLOCK_LIST + range.end);
    let rest = list(0..8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
    let length = list(8..10).map_or(0, |bytes| u16::from_le_bytes(bytes.try_into().expect("two bytes")));
    let expected = (original.len().div_ceil(SECTOR) - 1) as u64;
    if rest != first + 1 || u64::from(length) != expected {
        out.report(format!(
            "the block list of the core image has LBA {rest} and {length} sectors, expected {} and {expected}",
            first + 1
        ));
    }
}
