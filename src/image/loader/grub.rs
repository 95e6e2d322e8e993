//! GRUB for BIOS on a GPT disk without a BIOS boot partition.
//!
//! The core image lies in the unused sectors between the partition entries and the first partition; only the
//! first 440 bytes of sector 0, the boot code of the protective MBR, are ours. What grub-bios-setup would do on
//! a mounted system is done here on files: the boot sector learns where the core begins, the core's first
//! sector learns where the rest of it is.
//!
//! GRUB is the content's own where the tree has one (Debian's grub-pc-bin): then the image is the same on every host, and
//! its core, its modules and its later updates are of one version. Otherwise it is the host's.

use crate::content::Tree;
use crate::host::{Chroot, Context, Failure, Invocation, run};
use crate::plan::layout::{Lba, first_usable};
use crate::plan::{Firmware, Partition, Plan};
use crate::template::FilesystemType;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// GRUB's modules, in the tree and on the host.
const MODULES: &str = "/usr/lib/grub/i386-pc";
/// Where the image has its own copies, as grub-install leaves them: what lies outside any filesystem can be compared with
/// them.
const INSTALLED: &str = "/boot/grub/i386-pc";
const MKIMAGE: &str = "/usr/bin/grub-mkimage";

/// Boot code in a protective MBR ends before the disk signature. Source: UEFI 2.10, table 5.4.
const BOOT_CODE: usize = 440;
const SECTOR: usize = 512;

// Places inside GRUB's i386-pc images. Source: GRUB 2.06, include/grub/i386/pc/boot.h and kernel.h.
const BOOT_KERNEL_SECTOR: usize = 0x5c;
const BOOT_DRIVE_CHECK: usize = 0x66;
const BLOCK_LIST: usize = SECTOR - 12;
/// Where the rest of the core is loaded to, in paragraphs (0x8200).
const CORE_SEGMENT: u16 = 0x820;

/// GRUB's sectors, ready to be written.
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

/// Makes the core image, if BIOS starts GRUB.
pub(crate) fn grub_core(plan: &Plan, tree: &Path, workspace: &Path) -> Result<Option<GrubCore>, Failure> {
    let Some(boot) = plan.boot.as_ref().filter(|boot| boot.firmware == Firmware::Bios) else {
        return Ok(None);
    };
    let tree = Tree::open(tree)?;
    let (disk, partition) = plan.partition(&boot.boot_partition).expect("the plan names its own partitions");
    let directory = if partition.mount.as_deref() == Some("/boot") { "/grub" } else { "/boot/grub" };
    let load = early_configuration(partition, directory);
    tree.write(&format!("{INSTALLED}/load.cfg"), &load, 0o644)?;
    let (boot, core) = match tree.read_bytes(&format!("{MODULES}/boot.img"))? {
        Some(boot) if tree.is_file(MKIMAGE) => (boot, core_by_content(&tree, partition, directory)?),
        _ => {
            let path = Path::new(MODULES).join("boot.img");
            let boot = std::fs::read(&path).context(|| format!("could not read `{}`", path.display()))?;
            (boot, core_by_host(&load, partition, directory, workspace)?)
        }
    };
    // What the configuration loads that update-grub writes later.
    for name in tree.list(MODULES).iter().filter(|name| name.ends_with(".mod") || name.ends_with(".lst")) {
        tree.copy(&format!("{MODULES}/{name}"), &format!("{INSTALLED}/{name}"))?;
    }
    for (name, bytes) in [("boot.img", &boot), ("core.img", &core)] {
        tree.write_bytes(&format!("{INSTALLED}/{name}"), bytes, 0o644)?;
    }
    patch(boot, core, first_usable(disk.sector_size), disk.partitions_from).map(Some)
}

/// By the tree's own grub-mkimage, inside the tree.
fn core_by_content(tree: &Tree, partition: &Partition, directory: &str) -> Result<Vec<u8>, Failure> {
    let (load, core) = (format!("{INSTALLED}/load.cfg"), format!("{INSTALLED}/core.img"));
    // One that a hook left must not be taken for the new one.
    tree.remove(&core)?;
    let chroot = Chroot::enter(tree.path())?;
    run(&grub_mkimage(chroot.invocation(MKIMAGE), partition, directory, Path::new(&load), Path::new(&core)))?;
    tree.read_bytes(&core)?.ok_or_else(|| {
        Failure::new("the content's grub-mkimage made no core image").detail(format!("expected: {core}"))
    })
}

fn core_by_host(
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

/// Joins boot sector and core. `from` is the first free sector, `until` the first partition's.
fn patch(mut boot: Vec<u8>, mut core: Vec<u8>, from: Lba, until: Lba) -> Result<GrubCore, Failure> {
    core.resize(core.len().next_multiple_of(SECTOR), 0);
    let sectors = (core.len() / SECTOR) as u64;
    if from.0 + sectors > until.0 || boot.len() < SECTOR || sectors < 2 {
        return Err(Failure::new(format!(
            "GRUB's core image does not fit: {sectors} sectors, free from LBA {from} to {until}"
        )));
    }
    boot[BOOT_KERNEL_SECTOR..BOOT_KERNEL_SECTOR + 8].copy_from_slice(&from.0.to_le_bytes());
    // On a hard disk the boot drive is the one that BIOS names: two NOPs for the jump that would force one.
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
    fn the_boot_sector_points_at_the_core_and_the_core_at_its_rest() {
        let core = patch(vec![1; 512], vec![2; 1500], Lba(34), Lba(2048)).unwrap();
        assert_eq!(core.boot.len(), 440);
        assert_eq!(core.boot[0x5c..0x64], 34u64.to_le_bytes());
        assert_eq!(core.core.len(), 1536);
        assert_eq!(core.core[500..508], 35u64.to_le_bytes());
        assert_eq!(core.core[508..512], [2, 0, 0x20, 0x08]);
    }

    #[test]
    fn a_core_that_is_too_large_is_refused() {
        assert!(patch(vec![1; 512], vec![2; 40 * 512], Lba(34), Lba(64)).is_err());
    }
}
