//! BIOS: the boot code of the first sector, and what it starts.

use super::{Issue, IssueKind, PathStep, Tracer, Volume, grub, grub_image, grub_legacy, syslinux};
use crate::disk::is_zero;
use grub_image::Embedded;

/// Offset of the core image's first sector number in GRUB's boot code. Source: GRUB 2.06, include/grub/i386/pc/boot.h.
const KERNEL_SECTOR: std::ops::Range<usize> = 0x5c..0x64;
/// Sector size, in bytes.
const SECTOR: usize = 512;
/// Size of a block list entry in bytes: first sector, number of sectors, load address.
const BLOCK_LIST: usize = 12;
/// The maximum size of a GRUB core image, in sectors.
const MOST_SECTORS: usize = 2048;

/// Kinds of boot code, identified by strings in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Grub,
    /// Starts the boot sector of the active partition. Source: syslinux, mbr/mbr.S and gptmbr.S.
    Chain,
    /// SYSLINUX or EXTLINUX itself.
    Syslinux,
    /// Prints an error message, or stops. Source: dosfstools, mkfs.fat.c, dummy_boot_code.
    Nothing,
    Unknown,
}

fn identify(code: &[u8]) -> Code {
    let has = |text: &[u8]| code.windows(text.len()).any(|window| window == text);
    if is_zero(code) || has(b"This is not a bootable disk") {
        Code::Nothing
    } else if has(b"GRUB ") {
        Code::Grub
    } else if has(b"SYSLINUX") || has(b"EXTLINUX") || has(b"isolinux") {
        Code::Syslinux
    } else if has(b"Missing operating system") || has(b"Operating system load") || has(b"OS not a bootable") {
        Code::Chain
    } else {
        Code::Unknown
    }
}

/// Returns at most one path, because BIOS starts only the first sector.
pub(super) fn starts(tracer: &mut Tracer) -> Vec<PathStep> {
    let step = PathStep::new("boot code in the first sector");
    match identify(tracer.disk.boot_code) {
        Code::Nothing => Vec::new(),
        Code::Grub => vec![of_grub(tracer, tracer.disk.boot_code, "GRUB boot code")],
        Code::Chain => vec![chain(tracer, step)],
        Code::Syslinux => {
            let whole = tracer.volumes().iter().find(|volume| volume.number == 0);
            vec![match whole {
                Some(volume) => syslinux::follow(tracer, volume, PathStep::new("Syslinux")),
                None => chain(tracer, step),
            }]
        }
        Code::Unknown => vec![PathStep::new("unknown boot code, not followed")],
    }
}

/// Follows a boot sector that contains the string `GRUB`.
fn of_grub(tracer: &mut Tracer, code: &[u8], title: &str) -> PathStep {
    let is_legacy = grub_legacy::is_legacy(code);
    let sector = match is_legacy {
        true => grub_legacy::next_sector(code),
        false => code
            .get(KERNEL_SECTOR)
            .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes"))),
    };
    let first = (tracer.disk.sectors)(sector, SECTOR);
    let what = if is_legacy { "next stage" } else { "core image" };
    if sector == 0 || first.is_none_or(|first| is_zero(&first)) {
        let message = format!("no {what} at LBA {sector}");
        return PathStep::new(title).issue(Issue::new(IssueKind::LoaderMissing, message));
    }
    let next = if is_legacy {
        tracer.deeper(|tracer| {
            grub_legacy::follow(tracer, PathStep::new(format!("GRUB Legacy, {what} at LBA {sector}")))
        })
    } else {
        let mut step = PathStep::new(format!("GRUB, {what} at LBA {sector}"));
        let core = core_image(tracer, sector);
        let embedded = core.as_deref().and_then(Embedded::of_core);
        if embedded.is_none() && core.is_some_and(|core| !grub_image::has_redundancy(&core)) {
            let message = "damaged GRUB core image: decompression failed";
            step = step.issue(Issue::new(IssueKind::LoaderDamaged, message));
        }
        tracer.deeper(|tracer| grub::of_bios(tracer, step, embedded.as_ref()))
    };
    PathStep::new(title).then([next])
}

/// Reads the first sector and the sectors in its block list, whose entries are in reverse order. Source: GRUB 2.06,
/// grub-core/boot/i386/pc/diskboot.S, blocklist_default_start.
fn core_image(tracer: &Tracer, sector: u64) -> Option<Vec<u8>> {
    let mut core = (tracer.disk.sectors)(sector, SECTOR)?;
    let mut entry = SECTOR - BLOCK_LIST;
    loop {
        let bytes = core.get(entry..entry + BLOCK_LIST)?;
        let start = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
        let count = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        if count == 0 {
            return Some(core).filter(|core| core.len() > SECTOR);
        }
        if core.len() / SECTOR + count > MOST_SECTORS {
            return None;
        }
        core.extend((tracer.disk.sectors)(start, count * SECTOR)?);
        entry = entry.checked_sub(BLOCK_LIST)?;
    }
}

/// Follows the boot sector of the active partition.
fn chain(tracer: &mut Tracer, step: PathStep) -> PathStep {
    let step = PathStep { title: "boot code that starts the active partition".to_owned(), ..step };
    let active: Vec<&Volume> = tracer.volumes().iter().filter(|volume| volume.is_active).collect();
    let [volume] = active[..] else {
        let message = match active.len() {
            0 => "no active partition".to_owned(),
            count => format!("{count} active partitions, expected only one"),
        };
        return step.issue(Issue::new(IssueKind::LoaderMissing, message));
    };
    let mut sector = [0; SECTOR];
    let title = format!("boot sector of partition {}", volume.number);
    if volume.source.read_at(&mut sector, 0).is_err() {
        return step;
    }
    let next = match identify(&sector) {
        Code::Syslinux => tracer
            .deeper(|tracer| syslinux::follow(tracer, volume, PathStep::new(format!("Syslinux, {title}")))),
        Code::Grub => tracer.deeper(|tracer| of_grub(tracer, &sector, &format!("GRUB, {title}"))),
        Code::Nothing => PathStep::new(title).issue(Issue::new(
            IssueKind::LoaderMissing,
            format!("boot sector of the active partition {} starts nothing", volume.number),
        )),
        Code::Chain | Code::Unknown => PathStep::new(format!("unknown {title}, not followed")),
    };
    step.then([next])
}
