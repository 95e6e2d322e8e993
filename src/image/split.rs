//! Splits the root tree into one directory per filesystem.

use crate::content::Tree;
use crate::host::Failure;
use crate::plan::{PartitionId, Plan};
use std::path::{Path, PathBuf};

/// Moves the content of each mount point out of the tree, deepest first, and leaves empty directories as mount
/// points. Returns the directory of each partition that has a mount point.
pub(super) fn split(
    plan: &Plan,
    tree: &Path,
    workspace: &Path,
) -> Result<Vec<(PartitionId, PathBuf)>, Failure> {
    let mut mounts: Vec<(&str, PartitionId)> = plan
        .partitions()
        .filter_map(|(disk, p)| {
            Some((p.mount.as_deref()?, PartitionId { disk: disk.name.clone(), partition: p.number }))
        })
        .collect();
    mounts.sort_by_key(|(mount, _)| {
        std::cmp::Reverse(mount.split('/').filter(|part| !part.is_empty()).count())
    });
    let inside = Tree::open(tree)?;
    let mut directories = Vec::new();
    for (index, (mount, place)) in mounts.into_iter().enumerate() {
        if mount == "/" {
            directories.push((place, tree.to_owned()));
            continue;
        }
        let own = workspace.join(format!("content-{index}"));
        inside.take_directory(mount, &own)?;
        directories.push((place, own));
    }
    Ok(directories)
}
