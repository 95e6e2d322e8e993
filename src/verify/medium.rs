//! The facts that are read from published files that are not disks.

use super::boot_path::cd::{self, CdImage};
use super::boot_path::{BootPaths, Disk, Volume};
use super::system::System;
use crate::disk::{Opened, Source, Tree, Window};
use crate::host::{Context, Failure};
use crate::image::format::{Cd, Medium, MediumKind, Start};
use crate::plan::Firmware;

pub struct MediumFacts {
    pub kind: MediumKind,
    /// Problems of the archive itself.
    pub damage: Vec<String>,
    /// The boot configuration; `None` for media that do not boot.
    pub start: Option<Start>,
    /// For a CD.
    pub boot_paths: BootPaths,
    pub system: Option<System>,
    /// Why the root tree could not be read.
    pub unreadable: Option<String>,
}

/// Reads a medium. `host_marks` are strings that identify the build host.
pub fn examine_medium(medium: Medium, host_marks: Vec<String>) -> Result<MediumFacts, Failure> {
    /// The number for a medium without partitions.
    const WHOLE: u32 = 0;
    let Medium { kind, root, damage, start, cd } = medium;
    let boot_paths = cd.as_deref().map(boot_paths).unwrap_or_default();
    let (system, unreadable) = match root {
        Err(why) => (None, Some(why)),
        Ok(root) => {
            let context = || "could not read the root tree".to_owned();
            let size = root.file.metadata().context(context)?.len();
            let mut system = System::new(WHOLE, root.tree);
            system.host_marks = host_marks;
            system
                .read_texts(|_| Some(Window { file: &root.file, offset: 0, size }))
                .map_err(|error| Failure::new(context()).caused_by(&error))?;
            (Some(system), None)
        }
    };
    Ok(MediumFacts { kind, damage, start, boot_paths, system, unreadable })
}

/// The modification time of the CD, which boot loaders use as its UUID. Source: ECMA-119, 8.4.27; GRUB 2.06,
/// grub-core/fs/iso9660.c, grub_iso9660_uuid.
fn uuid_of_cd(cd: &Window) -> Option<String> {
    let mut digits = [0; 16];
    cd.read_at(&mut digits, 16 * 2048 + 830).ok()?;
    let digits = std::str::from_utf8(&digits).ok()?;
    let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16];
    let parts: Vec<&str> = parts.into_iter().map(|range| digits.get(range)).collect::<Option<_>>()?;
    Some(parts.join("-"))
}

/// Follows the boot paths on the filesystem of the CD and on the images in its boot catalog.
fn boot_paths(cd: &Cd) -> BootPaths {
    /// Number of bytes that are read of a BIOS boot image.
    const HEAD: usize = 64 << 10;
    let window = |range: &std::ops::Range<u64>| Window {
        file: &cd.file,
        offset: range.start,
        size: range.end - range.start,
    };
    let windows: Vec<Window> = cd.images.iter().map(|(_, range)| window(range)).collect();
    let trees: Vec<Option<Tree>> =
        windows.iter().map(|window| Opened::open(window).and_then(|opened| opened.tree()).ok()).collect();
    let size = cd.file.metadata().map_or(0, |metadata| metadata.len());
    let whole = window(&(0..size));
    let volume = |number, is_fat, tree, source| Volume {
        number,
        is_fat,
        is_esp: is_fat,
        is_xbootldr: false,
        is_active: false,
        uuid: None,
        label: None,
        tree,
        source,
    };
    let mut volumes = vec![Volume { uuid: uuid_of_cd(&whole), ..volume(cd::WHOLE, false, &cd.tree, &whole) }];
    let mut images = Vec::new();
    for (number, (((firmware, range), tree), window)) in (1..).zip(cd.images.iter().zip(&trees).zip(&windows))
    {
        match firmware {
            Firmware::Bios => {
                let loaded = range.end - range.start;
                let there = loaded.max(cd::CD_LOADER as u64).min(size.saturating_sub(range.start));
                let mut code = vec![0; HEAD.min(there as usize)];
                let _ = whole.read_at(&mut code, range.start);
                images.push(CdImage::Bios { code, loaded });
            }
            Firmware::Uefi => {
                volumes.extend(tree.as_ref().map(|tree| volume(number, true, tree, window)));
                images.push(CdImage::Uefi(tree.as_ref().map(|_| number)));
            }
        }
    }
    let sectors = |_: u64, _: usize| None;
    cd::follow(&Disk { volumes, not_read: Vec::new(), boot_code: &[], sectors: &sectors }, &images)
}
