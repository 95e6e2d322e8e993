//! What is read of published files that are no disks.

use super::boot_path::cd::{self, CdImage};
use super::boot_path::{BootPaths, Disk, Volume};
use super::system::System;
use crate::disk::{Opened, Source, Tree, Window};
use crate::host::{Context, Failure};
use crate::image::format::{Cd, Medium, MediumKind, Start};
use crate::plan::Firmware;

pub struct MediumFacts {
    pub kind: MediumKind,
    /// What is wrong with it as an archive.
    pub damage: Vec<String>,
    /// What starts it; nothing for what never boots.
    pub start: Option<Start>,
    /// Of a CD.
    pub boot_paths: BootPaths,
    pub system: Option<System>,
    /// Why there is no system to look at.
    pub unreadable: Option<String>,
}

/// `host_marks` are texts that only the build host would have put there.
pub fn examine_medium(medium: Medium, host_marks: Vec<String>) -> Result<MediumFacts, Failure> {
    /// There is one tree and no partition.
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

/// The time of its last change, as loaders search for it. Source: ECMA-119, 8.4.27; GRUB 2.06, grub-core/fs/iso9660.c, grub_iso9660_uuid.
fn uuid_of_cd(cd: &Window) -> Option<String> {
    let mut digits = [0; 16];
    cd.read_at(&mut digits, 16 * 2048 + 830).ok()?;
    let digits = std::str::from_utf8(&digits).ok()?;
    let parts = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14, 14..16];
    let parts: Vec<&str> = parts.into_iter().map(|range| digits.get(range)).collect::<Option<_>>()?;
    Some(parts.join("-"))
}

/// On the CD's own filesystem, and on those that its boot catalogue offers.
fn boot_paths(cd: &Cd) -> BootPaths {
    /// Of a boot image for BIOS.
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
