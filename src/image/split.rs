//! One tree to one folder per filesystem: what lies below a mount point goes into that partition.

use crate::plan::{Partition, Plan};
use crate::tool::{Context, Failure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Moves the content of each mount point out of the tree, the deepest first, leaving empty folders to mount on.
/// Gives the folder of each partition that has one.
pub fn split(plan: &Plan, tree: &Path, workspace: &Path) -> Result<BTreeMap<u32, PathBuf>, Failure> {
    let mut mounts: Vec<(&str, &Partition)> =
        plan.partitions.iter().filter_map(|p| Some((p.mount.as_deref()?, p))).collect();
    mounts.sort_by_key(|(mount, _)| {
        std::cmp::Reverse(mount.split('/').filter(|part| !part.is_empty()).count())
    });
    let mut folders = BTreeMap::new();
    for (mount, partition) in mounts {
        if mount == "/" {
            folders.insert(partition.number, tree.to_owned());
            continue;
        }
        let inside = tree.join(mount.trim_matches('/'));
        let own = workspace.join(format!("partition-{}", partition.number));
        let context = || format!("could not set the content of `{mount}` apart");
        std::fs::create_dir_all(&inside).context(context)?;
        let metadata = inside.symlink_metadata().context(context)?;
        if !metadata.is_dir() {
            return Err(Failure::new(format!("the mount point `{mount}` is no folder in the content"))
                .help("correct `mount` in PartitionMountPoints"));
        }
        std::fs::rename(&inside, &own).context(context)?;
        std::fs::create_dir(&inside).context(context)?;
        std::fs::set_permissions(&inside, metadata.permissions()).context(context)?;
        folders.insert(partition.number, own);
    }
    Ok(folders)
}
