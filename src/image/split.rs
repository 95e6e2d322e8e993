//! One tree to one folder per filesystem: what lies below a mount point goes into that partition.

use crate::content::Tree;
use crate::plan::{Partition, Plan};
use crate::tool::Failure;
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
    let inside = Tree::open(tree)?;
    let mut folders = BTreeMap::new();
    for (mount, partition) in mounts {
        if mount == "/" {
            folders.insert(partition.number, tree.to_owned());
            continue;
        }
        let own = workspace.join(format!("partition-{}", partition.number));
        inside.take_folder(mount, &own)?;
        folders.insert(partition.number, own);
    }
    Ok(folders)
}
