//! What BIOS starts: the code of the first sector, and what that looks for.

use super::{Issue, IssueKind, Step, Tracer, Volume, grub, syslinux};
use crate::disk::is_zero;

/// Where GRUB's boot code names its core image's first sector. Source: GRUB 2.06, include/grub/i386/pc/boot.h.
const KERNEL_SECTOR: std::ops::Range<usize> = 0x5c..0x64;
/// How many bytes of its first sector are looked at.
const SECTOR: usize = 512;

/// Boot code by a text in it, as far as it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Grub,
    /// Starts the active partition's own boot sector. Source: syslinux, mbr/mbr.S and gptmbr.S.
    Chain,
    /// SYSLINUX or EXTLINUX itself.
    Syslinux,
    /// Prints that nothing starts here, or stops. Source: dosfstools, mkfs.fat.c, dummy_boot_code.
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

/// At most one: BIOS knows nothing but the first sector.
pub fn starts(tracer: &mut Tracer) -> Vec<Step> {
    let step = Step::new("boot code of the first sector");
    match identify(tracer.disk.boot_code) {
        Code::Nothing => Vec::new(),
        Code::Grub => vec![of_grub(tracer, step)],
        Code::Chain => vec![chain(tracer, step)],
        Code::Syslinux => {
            let whole = tracer.volumes().iter().find(|volume| volume.number == 0);
            vec![match whole {
                Some(volume) => syslinux::follow(tracer, volume, Step::new("Syslinux")),
                None => chain(tracer, step),
            }]
        }
        Code::Unknown => vec![Step::new("boot code that is not known; what it starts is not judged")],
    }
}

fn of_grub(tracer: &mut Tracer, step: Step) -> Step {
    let code = tracer.disk.boot_code;
    let sector =
        code.get(KERNEL_SECTOR).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
    let core = (tracer.disk.sectors)(sector, SECTOR);
    let title = format!("GRUB, core image in LBA {sector}");
    match core {
        Some(core) if !is_zero(&core) && sector > 0 => {
            let next = tracer.deeper(|tracer| grub::of_bios(tracer, Step::new(title)));
            Step { title: "boot code of GRUB".to_owned(), ..step }.then([next])
        }
        _ => step
            .issue(Issue::new(IssueKind::LoaderMissing, format!("there is no core image in LBA {sector}"))),
    }
}

/// The active partition's boot sector.
fn chain(tracer: &mut Tracer, step: Step) -> Step {
    let step = Step { title: "boot code that starts the active partition".to_owned(), ..step };
    let active: Vec<&Volume> = tracer.volumes().iter().filter(|volume| volume.is_active).collect();
    let [volume] = active[..] else {
        let message = match active.len() {
            0 => "no partition is active: the boot code starts nothing".to_owned(),
            count => format!("{count} partitions are active, where one may be"),
        };
        return step.issue(Issue::new(IssueKind::LoaderMissing, message));
    };
    let mut sector = [0; SECTOR];
    let title = format!("boot sector of partition {}", volume.number);
    if volume.source.read_at(&mut sector, 0).is_err() {
        return step;
    }
    let next = match identify(&sector) {
        Code::Syslinux => {
            tracer.deeper(|tracer| syslinux::follow(tracer, volume, Step::new(format!("Syslinux, {title}"))))
        }
        Code::Grub => tracer.deeper(|tracer| grub::of_bios(tracer, Step::new(format!("GRUB, {title}")))),
        Code::Nothing => Step::new(title).issue(Issue::new(
            IssueKind::LoaderMissing,
            format!("partition {} is active, and its boot sector starts nothing", volume.number),
        )),
        Code::Chain | Code::Unknown => Step::new(format!("{title}, which is not known")),
    };
    step.then([next])
}
