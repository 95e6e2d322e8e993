//! The boot configuration: firmware, boot loader and kernel command line.

use super::disks::ESP;
use super::inputs::PlanError;
use super::model::*;
use crate::plan::command_line;
use crate::plan::layout::SectorSize;
use crate::template::{BootMethod, SoftwareManager, Template, boot_method};

/// The default consoles: the screen and the first serial port, which `ister boot` reads.
const CONSOLES: &str = "console=tty0 console=ttyS0,115200n8";

/// `None` if no firmware can boot the image.
pub(super) fn boot(template: &Template, disks: &[Disk]) -> Option<Boot> {
    let at = |mount: &str| {
        disks.iter().flat_map(|disk| disk.partitions.iter().map(move |p| (disk, p))).find_map(|(disk, p)| {
            let place = PartitionId { disk: disk.name.clone(), partition: p.number };
            (p.mount.as_deref() == Some(mount)).then_some((place, p))
        })
    };
    let (root_place, root) = at("/")?;
    let own_boot = at("/boot").map_or_else(|| root_place.clone(), |(place, _)| place);
    let BootMethod { loader, esp } = boot_method(template)?;
    let (firmware, boot_partition) = match esp {
        None => (Firmware::Bios, own_boot),
        Some(mount) => {
            let esp = at(mount).filter(|(_, p)| p.type_guid == ESP)?.0;
            (Firmware::Uefi, if loader == Loader::Grub { own_boot } else { esp })
        }
    };
    Some(Boot {
        firmware,
        loader,
        boot_partition,
        esp: esp.map(str::to_owned),
        root_partition: root_place,
        kernel_command_line: kernel_command_line(template, root),
    })
}

fn kernel_command_line(template: &Template, root: &Partition) -> String {
    let own = template.cmdline.as_ref().map_or(String::new(), |c| command_line::normalized(&c.value));
    let mut words = Vec::new();
    match &root.encryption {
        Some(encryption) => {
            // Debian's initramfs reads the volume from its crypttab, dracut from the command line. Source:
            // dracut.cmdline(7), systemd-cryptsetup-generator(8).
            if template.manager() != Some(SoftwareManager::Apt) {
                words.push(format!("rd.luks.name={}={}", encryption.uuid, encryption.name));
            }
            words.push(format!("root={}", root.device()));
        }
        None => words.push(format!("root=PARTUUID={}", root.guid)),
    }
    words.push("rw".to_owned());
    if !command_line::words(&own).iter().any(|word| word.starts_with("console=")) {
        words.push(CONSOLES.to_owned());
    }
    if !own.is_empty() {
        words.push(own);
    }
    words.join(" ")
}

/// Rejects boot configurations that firmware or boot loaders do not support.
pub(super) fn check(template: &Template, disks: &[Disk], boot: Option<&Boot>) -> Result<(), Vec<PlanError>> {
    let Some(boot) = boot.filter(|boot| boot.firmware == Firmware::Bios) else { return Ok(()) };
    let disk = disks.iter().find(|disk| disk.name == boot.boot_partition.disk);
    if disk.is_some_and(|disk| disk.sector_size == SectorSize::B4096) {
        let span = template.legacy_bios.as_ref().map_or(template.span, |bios| bios.span);
        return Err(vec![PlanError::new(
            span,
            "BIOS cannot boot from a disk with 4096-byte sectors",
            "remove `LegacyBios` to boot with UEFI, or use 512-byte sectors",
        )]);
    }
    Ok(())
}
