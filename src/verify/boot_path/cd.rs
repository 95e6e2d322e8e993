//! CDs: the images in the El Torito boot catalog. Sources: El Torito 1.0; UEFI 2.10, 13.3.2.

use super::{Disk, Issue, IssueKind, PathStep, Tracer, Volume, efi, grub, syslinux};
use crate::disk::is_zero;
use crate::plan::Firmware;

/// The filesystem of the CD itself.
pub const WHOLE: u32 = 0;

/// Number of bytes that are needed to identify a boot loader.
pub const CD_LOADER: usize = 2048;

/// A boot image in the boot catalog.
pub enum CdImage {
    /// The first bytes of the image, and the number of bytes that the firmware loads.
    Bios { code: Vec<u8>, loaded: u64 },
    /// The volume number, if the image is a filesystem.
    Uefi(Option<u32>),
}

pub fn follow(disk: &Disk, images: &[CdImage]) -> super::BootPaths {
    let mut tracer = Tracer::new(disk);
    let mut paths = Vec::new();
    for image in images {
        let (firmware, start) = match image {
            CdImage::Bios { code, loaded } => (Firmware::Bios, bios(&mut tracer, code, *loaded)),
            CdImage::Uefi(number) => (Firmware::Uefi, uefi(&mut tracer, *number)),
        };
        paths.push(super::BootPath { firmware, start });
    }
    tracer.into_paths(paths)
}

fn bios(tracer: &mut Tracer, code: &[u8], loaded: u64) -> PathStep {
    let step = loader(tracer, code);
    if loaded == 0 {
        let message = "the boot image has a load size of 0 in the boot catalog";
        return step.issue(Issue::new(IssueKind::LoaderMissing, message));
    }
    step
}

fn loader(tracer: &mut Tracer, code: &[u8]) -> PathStep {
    let has = |text: &[u8]| code.windows(text.len()).any(|window| window == text);
    let whole = tracer.volume(WHOLE);
    if has(b"isolinux") || has(b"ISOLINUX") {
        syslinux::follow(tracer, whole, PathStep::new("ISOLINUX"))
    } else if has(b"GRUB") || has(b"grub") {
        grub::of_bios(tracer, PathStep::new("GRUB"), None)
    } else if is_zero(code) {
        PathStep::new("boot image")
            .issue(Issue::new(IssueKind::LoaderMissing, "the boot image for BIOS is empty"))
    } else {
        PathStep::new("unknown boot image, not followed")
    }
}

fn uefi(tracer: &mut Tracer, number: Option<u32>) -> PathStep {
    let volume = tracer.volumes().iter().find(|volume: &&Volume| Some(volume.number) == number);
    match volume {
        Some(volume) => efi::start_of(tracer, volume),
        None => PathStep::new("boot image")
            .issue(Issue::new(IssueKind::LoaderMissing, "the boot image for UEFI is not a FAT filesystem")),
    }
}
