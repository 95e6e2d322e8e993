//! From plan and tree to the image file.

use super::{filesystem, gpt, loader, split};
use crate::plan::Plan;
use crate::template::Bytes;
use crate::tool::{Context, Failure, Progress, inherit};
use std::fs::File;
use std::path::Path;

/// What an image is made of, and where.
pub struct Assembly<'a> {
    pub plan: &'a Plan,
    /// The finished tree. Its mount points are emptied on the way.
    pub tree: &'a Path,
    pub workspace: &'a Path,
    /// An empty file.
    pub image: &'a File,
    /// Seconds since 1970.
    pub epoch: u64,
}

/// Writes the whole image: table, filesystems side by side, boot loader.
pub fn assemble(assembly: &Assembly, progress: &dyn Progress) -> Result<(), Failure> {
    let Assembly { plan, image, .. } = *assembly;
    progress.begin("making the image");
    let core = loader::grub_core(plan, assembly.tree, assembly.workspace)?;
    let folders = split::split(plan, assembly.tree, assembly.workspace)?;
    image.set_len(plan.disk.size.0).context(|| format!("could not make an image of {}", plan.disk.size))?;
    gpt::write(plan, image)?;
    // For the filesystem makers, and not before: hooks have no business with it.
    let inherited = inherit(image)?;
    std::thread::scope(|scope| {
        let makers: Vec<_> = plan
            .partitions
            .iter()
            .map(|partition| {
                let folder = folders.get(&partition.number);
                scope.spawn(move || {
                    let target = filesystem::Target {
                        image,
                        inherited,
                        offset: Bytes(partition.first_lba.0 * plan.disk.sector_size.bytes()),
                        workspace: assembly.workspace,
                        epoch: assembly.epoch,
                    };
                    filesystem::make(partition, folder.map(|f| f.as_path()), &target)
                })
            })
            .collect();
        makers.into_iter().try_for_each(|maker| {
            maker.join().unwrap_or_else(|_| Err(Failure::new("a filesystem maker ended unexpectedly")))
        })
    })?;
    if let Some(core) = core {
        core.write_into(image)?;
    }
    Ok(())
}
