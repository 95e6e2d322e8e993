//! The EFI system partition of an ISO image.

use super::iso::{Name, reproducible};
use crate::disk::{Window, fat, scan};
use crate::host::{Context, Failure, Invocation, inherited_name, run};
use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;

/// Size of the partition: larger than any GRUB, and small enough for FAT12.
const ESP_SIZE: u64 = 4 << 20;

/// Makes a vfat filesystem with GRUB at the boot path of removable media. Source: UEFI 2.10, 3.5.1.1.
pub(super) fn esp(grub: &File, name: &Name, scratch: &Path) -> Result<File, Failure> {
    let context = || "could not make the EFI system partition of the ISO image".to_owned();
    let esp = tempfile::tempfile_in(scratch).context(context)?;
    esp.set_len(ESP_SIZE).context(context)?;
    let device = inherited_name(&esp);
    let serial = format!("{:08x}", name.id.as_fields().0);
    run(&reproducible(
        Invocation::new("mkfs.vfat")
            .args(["--invariant", "-F", "12", "-S", "512", "-s", "4", "-g", "64/32"])
            .args(["-i", &serial, "-n", "EFIBOOT", &device])
            .inheriting(&esp)?,
        name.time,
    ))?;
    let directory = tempfile::tempdir_in(scratch).context(context)?;
    let boot = directory.path().join("EFI/BOOT");
    std::fs::create_dir_all(&boot).context(context)?;
    let mut loader = File::create(boot.join("BOOTX64.EFI")).context(context)?;
    let mut from = grub;
    from.rewind().and_then(|()| io::copy(&mut from, &mut loader)).context(context)?;
    let held = scan(directory.path(), name.time as i64)
        .map_err(|error| Failure::new(context()).caused_by(&error))?;
    let window = Window { file: &esp, offset: 0, size: ESP_SIZE };
    fat::fill(&window, &held, true).map_err(|error| Failure::new(context()).caused_by(&error))?;
    Ok(esp)
}
