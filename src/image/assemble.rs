//! Writes the disks of a plan from a finished root tree.

use super::make::{self, FilesystemTarget, PartitionContent};
use super::{gpt, loader, preserved, split, wipe};
use crate::host::{Context, Failure, Progress};
use crate::plan::{Disk, Partition, Plan};
use crate::template::Secret;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// Inputs and outputs of [`assemble`].
pub struct Assembly<'a> {
    pub plan: &'a Plan,
    /// The finished root tree. [`assemble`] moves the contents of its mount points out of it.
    pub tree: &'a Path,
    pub workspace: &'a Path,
    /// One file for each disk of the plan: an empty file or a block device.
    pub disks: &'a [File],
    /// Seconds since 1970.
    pub epoch: u64,
    /// Passphrases by mapping name.
    pub passphrases: &'a BTreeMap<String, Secret>,
    /// If set, everything that would be random is derived from it.
    pub seed: Option<&'a str>,
}

/// Writes filesystems (in parallel), boot loader and partition tables. The tables come last, so that a partially
/// written disk is not mistaken for a complete one.
pub fn assemble(assembly: &Assembly, progress: &dyn Progress) -> Result<(), Failure> {
    let Assembly { plan, tree, workspace, .. } = *assembly;
    progress.begin("making the image");
    let core = loader::grub_core(plan, tree, workspace)?;
    preserved::set_aside(plan, tree)?;
    let directories = split::split(plan, tree, workspace)?;
    // Check all sizes before writing anything.
    let contents = make::check(plan, &directories, assembly.epoch)?;
    for (disk, file) in plan.disks.iter().zip(assembly.disks) {
        prepare(plan, disk, file)?;
    }
    std::thread::scope(|scope| {
        let mut makers = Vec::new();
        for (disk, file) in plan.disks.iter().zip(assembly.disks) {
            for partition in &disk.partitions {
                let content = content_of(&contents, disk, partition);
                makers.push(scope.spawn(move || {
                    let target = FilesystemTarget {
                        file,
                        offset: disk.offset(partition),
                        sector: disk.sector_size,
                        blank: plan.image().is_some(),
                        workspace,
                        name: format!("{}-{}", disk.name.replace('/', "-"), partition.number),
                        epoch: assembly.epoch,
                        passphrases: assembly.passphrases,
                        seed: assembly.seed,
                    };
                    make::make(partition, content, &target)
                }));
            }
        }
        makers.into_iter().try_for_each(|maker| {
            maker.join().unwrap_or_else(|_| Err(Failure::new("a thread that makes a filesystem panicked")))
        })
    })?;
    for (disk, file) in plan.disks.iter().zip(assembly.disks) {
        if !disk.keeps_table {
            gpt::write(disk, file)?;
        }
        if let (Some(core), Some(boot)) = (&core, &plan.boot)
            && boot.boot_partition.disk == disk.name
        {
            core.write_into(file)?;
        }
    }
    Ok(())
}

/// Sets the size of an image file, or erases old signatures from a device.
fn prepare(plan: &Plan, disk: &Disk, file: &File) -> Result<(), Failure> {
    if plan.image().is_some() {
        return file.set_len(disk.size.0).context(|| format!("could not create an image of {}", disk.size));
    }
    wipe::wipe(disk, file)
}

/// Returns the content of a partition.
fn content_of<'c>(
    contents: &'c [PartitionContent],
    disk: &Disk,
    partition: &Partition,
) -> Option<&'c PartitionContent<'c>> {
    contents.iter().find(|c| c.place.disk == disk.name && c.place.partition == partition.number)
}
