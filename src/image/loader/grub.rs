//! GRUB for BIOS on a GPT disk without a BIOS boot partition.
//!
//! The core image is in the unused sectors between the partition entries and the first partition. Of sector 0, only
//! the first 440 bytes, the boot code of the protective MBR, belong to GRUB. This module does on files what
//! grub-bios-setup does on a mounted system: it stores the location of the core image in the boot sector, and the
//! location of the remaining sectors in the first sector of the core image.
//!
//! If the package contents include GRUB (Debian's grub-pc-bin), that GRUB is used: the image is then the same on
//! every host, and its core image, modules and later updates have the same version. Otherwise the GRUB of the host is
//! used.

use crate::content::Tree;
use crate::host::{Chroot, Context, Failure, Invocation, run};
use crate::plan::layout::{Lba, first_usable};
use crate::plan::{Firmware, Partition, Plan};
use crate::template::FilesystemType;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Directory of GRUB's modules, in the tree and on the host.
const MODULES: &str = "/usr/lib/grub/i386-pc";
/// Directory of the copies in the image, like those of grub-install. The sectors outside of any filesystem can be
/// compared with them.
const INSTALLED: &str = "/boot/grub/i386-pc";
const MKIMAGE: &str = "/usr/bin/grub-mkimage";

/// The boot code of a protective MBR ends before the disk signature. Source: UEFI 2.10, table 5.4.
const BOOT_CODE: usize = 440;
const SECTOR: usize = 512;

// Offsets in GRUB's i386-pc images. Source: GRUB 2.06, include/grub/i386/pc/boot.h and kernel.h.
const BOOT_KERNEL_SECTOR: usize = 0x5c;
const BOOT_DRIVE_CHECK: usize = 0x66;
const BLOCK_LIST: usize = SECTOR - 12;
/// Segment where the rest of the core image is loaded (address 0x8200).
const CORE_SEGMENT: u16 = 0x820;

/// GRUB's sectors, ready to be written to the disk.
pub(crate) struct GrubCore {
    boot: Vec<u8>,
    core: Vec<u8>,
    at: Lba,
}

impl GrubCore {
    pub(crate) fn write_into(&self, image: &File) -> Result<(), Failure> {
        let context = || "could not write GRUB's boot sectors".to_owned();
        image.write_all_at(&self.boot, 0).context(context)?;
        image.write_all_at(&self.core, self.at.0 * SECTOR as u64).context(context)
    }
}

/// Makes the core image if the image boots by BIOS.
pub(crate) fn grub_core(plan: &Plan, tree: &Path, workspace: &Path) -> Result<Option<GrubCore>, Failure> {
    let Some(boot) = plan.boot.as_ref().filter(|boot| boot.firmware == Firmware::Bios) else {
        return Ok(None);
    };
    let tree = Tree::open(tree)?;
    let (disk, partition) =
        plan.partition(&boot.boot_partition).expect("the boot partition is a partition of the plan");
    let directory = if partition.mount.as_deref() == Some("/boot") { "/grub" } else { "/boot/grub" };
    let load = early_configuration(partition, directory);
    tree.write(&format!("{INSTALLED}/load.cfg"), &load, 0o644)?;
    let (boot, core) = match tree.read_bytes(&format!("{MODULES}/boot.img"))? {
        Some(boot) if tree.is_file(MKIMAGE) => (boot, core_from_content(&tree, partition, directory)?),
        _ => {
            let path = Path::new(MODULES).join("boot.img");
            let boot = std::fs::read(&path).context(|| format!("could not read `{}`", path.display()))?;
            (boot, core_from_host(&load, partition, directory, workspace)?)
        }
    };
    // The configuration that update-grub writes later loads these modules.
    for name in tree.list(MODULES).iter().filter(|name| name.ends_with(".mod") || name.ends_with(".lst")) {
        tree.copy(&format!("{MODULES}/{name}"), &format!("{INSTALLED}/{name}"))?;
    }
    for (name, bytes) in [("boot.img", &boot), ("core.img", &core)] {
        tree.write_bytes(&format!("{INSTALLED}/{name}"), bytes, 0o644)?;
    }
    patch(boot, core, first_usable(disk.sector_size), disk.partitions_from).map(Some)
}

/// Runs the grub-mkimage of the package contents in a chroot.
fn core_from_content(tree: &Tree, partition: &Partition, directory: &str) -> Result<Vec<u8>, Failure> {
    let (load, core) = (format!("{INSTALLED}/load.cfg"), format!("{INSTALLED}/core.img"));
    // A file left by a hook must not be mistaken for the new one.
    tree.remove(&core)?;
    let chroot = Chroot::enter(tree.path())?;
    run(&grub_mkimage(chroot.invocation(MKIMAGE), partition, directory, Path::new(&load), Path::new(&core)))?;
    tree.read_bytes(&core)?.ok_or_else(|| {
        Failure::new("grub-mkimage of the package contents created no core image")
            .detail(format!("expected: {core}"))
    })
}

fn core_from_host(
    load: &str,
    partition: &Partition,
    directory: &str,
    workspace: &Path,
) -> Result<Vec<u8>, Failure> {
    let (config, core) = (workspace.join("grub-load.cfg"), workspace.join("grub-core.img"));
    std::fs::write(&config, load).context(|| format!("could not write `{}`", config.display()))?;
    run(&grub_mkimage(Invocation::new("grub-mkimage"), partition, directory, &config, &core))?;
    std::fs::read(&core).context(|| format!("could not read `{}`", core.display()))
}

fn filesystem_module(partition: &Partition) -> &'static str {
    match partition.filesystem.as_ref().map(|f| f.kind) {
        Some(FilesystemType::Vfat) => "fat",
        Some(FilesystemType::Btrfs) => "btrfs",
        Some(FilesystemType::Xfs) => "xfs",
        _ => "ext2",
    }
}

fn early_configuration(partition: &Partition, directory: &str) -> String {
    let uuid = partition.filesystem.as_ref().and_then(|f| f.uuid.as_deref()).unwrap_or_default();
    format!("search.fs_uuid {uuid} root\nset prefix=($root){directory}\n")
}

fn grub_mkimage(
    program: Invocation,
    partition: &Partition,
    directory: &str,
    load: &Path,
    core: &Path,
) -> Invocation {
    program
        .args(["-O", "i386-pc", "-d", MODULES, "-p", directory, "-c"])
        .arg(load)
        .arg("-o")
        .arg(core)
        .args(["biosdisk", "part_gpt", filesystem_module(partition)])
        .args(["search", "search_fs_uuid", "normal", "linux", "configfile", "echo", "test", "ls", "cat"])
}

/// Links boot sector and core image. `from` is the first free sector, `until` the first sector of the first
/// partition.
fn patch(mut boot: Vec<u8>, mut core: Vec<u8>, from: Lba, until: Lba) -> Result<GrubCore, Failure> {
    core.resize(core.len().next_multiple_of(SECTOR), 0);
    let sectors = (core.len() / SECTOR) as u64;
    if from.0 + sectors > until.0 || boot.len() < SECTOR || sectors < 2 {
        return Err(Failure::new(format!(
            "GRUB's core image does not fit: it has {sectors} sectors, and only LBA {from} to {until} are free"
        )));
    }
    boot[BOOT_KERNEL_SECTOR..BOOT_KERNEL_SECTOR + 8].copy_from_slice(&from.0.to_le_bytes());
    // On a hard disk, the BIOS passes the correct boot drive. Replace the jump that overrides it by two NOPs.
    boot[BOOT_DRIVE_CHECK..BOOT_DRIVE_CHECK + 2].copy_from_slice(&[0x90, 0x90]);
    boot.truncate(BOOT_CODE);
    core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(from.0 + 1).to_le_bytes());
    core[BLOCK_LIST + 8..BLOCK_LIST + 10].copy_from_slice(&((sectors - 1) as u16).to_le_bytes());
    core[BLOCK_LIST + 10..BLOCK_LIST + 12].copy_from_slice(&CORE_SEGMENT.to_le_bytes());
    Ok(GrubCore { boot, core, at: from })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_sector_and_core_are_linked() {
        let core = patch(vec![1; 512], vec![2; 1500], Lba(34), Lba(2048)).unwrap();
        assert_eq!(core.boot.len(), 440);
        assert_eq!(core.boot[0x5c..0x64], 34u64.to_le_bytes());
        assert_eq!(core.core.len(), 1536);
        assert_eq!(core.core[500..508], 35u64.to_le_bytes());
        assert_eq!(core.core[508..512], [2, 0, 0x20, 0x08]);
    }

    #[test]
    fn oversized_core_is_rejected() {
        assert!(patch(vec![1; 512], vec![2; 40 * 512], Lba(34), Lba(64)).is_err());
    }
}
