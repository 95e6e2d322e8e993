//! What firmware starts of a CD: the images of its boot catalogue. Sources: El Torito 1.0; UEFI 2.10, 13.3.2.

use super::{Disk, Issue, IssueKind, Step, Tracer, Volume, efi, grub, syslinux};
use crate::filesystem::is_zero;
use crate::plan::Firmware;

/// The filesystem of the CD itself.
pub const WHOLE: u32 = 0;

/// `images`: for BIOS the first bytes of each, for UEFI the number of its volume, if it is a filesystem.
pub enum CdImage {
    Bios(Vec<u8>),
    Uefi(Option<u32>),
}

pub fn follow(disk: &Disk, images: &[CdImage]) -> super::BootPaths {
    let mut tracer = Tracer::new(disk);
    let mut paths = Vec::new();
    for image in images {
        let (firmware, start) = match image {
            CdImage::Bios(code) => (Firmware::Bios, bios(&mut tracer, code)),
            CdImage::Uefi(number) => (Firmware::Uefi, uefi(&mut tracer, *number)),
        };
        paths.push(super::BootPath { firmware, start });
    }
    tracer.into_paths(paths)
}

fn bios(tracer: &mut Tracer, code: &[u8]) -> Step {
    let has = |text: &[u8]| code.windows(text.len()).any(|window| window == text);
    let whole = tracer.volume(WHOLE);
    if has(b"isolinux") || has(b"ISOLINUX") {
        syslinux::follow(tracer, whole, Step::new("ISOLINUX"))
    } else if has(b"GRUB") || has(b"grub") {
        grub::of_bios(tracer, Step::new("GRUB"))
    } else if is_zero(code) {
        Step::new("boot image")
            .issue(Issue::new(IssueKind::LoaderMissing, "the boot image for BIOS is empty"))
    } else {
        Step::new("a boot image that is not known; what it starts is not judged")
    }
}

fn uefi(tracer: &mut Tracer, number: Option<u32>) -> Step {
    let volume = tracer.volumes().iter().find(|volume: &&Volume| Some(volume.number) == number);
    match volume {
        Some(volume) => efi::start_of(tracer, volume),
        None => Step::new("boot image")
            .issue(Issue::new(IssueKind::LoaderMissing, "the boot image for UEFI is not a FAT filesystem")),
    }
}
