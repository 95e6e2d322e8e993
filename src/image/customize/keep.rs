//! The finished tree where somebody wants to see it: `-D DIR` and `-m`.

use crate::host::{Context, Failure, Invocation, run};
use rustix::mount::UnmountFlags;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The tree, seen at another path of this namespace until this is dropped.
pub struct Shown {
    at: PathBuf,
}

/// Lets the tree be seen in `directory`, which hooks are then given: on the host nothing is mounted.
pub fn shown_at(tree: &Path, directory: &Path) -> Result<Shown, Failure> {
    rustix::mount::mount_bind(tree, directory)
        .context(|| format!("could not show the tree in `{}`", directory.display()))?;
    Ok(Shown { at: directory.to_owned() })
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.at, UnmountFlags::DETACH);
    }
}

/// Leaves a copy of the tree in a directory of the host, with owners and everything else as they are. Only the user may enter
/// the directory: programs with setuid bits are in it.
pub fn keep_tree(tree: &Path, directory: &Path) -> Result<(), Failure> {
    let context = || format!("could not leave the tree in `{}`", directory.display());
    std::fs::set_permissions(directory, Permissions::from_mode(0o700)).context(context)?;
    // Not the tree's root itself, whose mode would become the directory's.
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(tree).context(context)? {
        entries.push(entry.context(context)?.path());
    }
    entries.sort();
    let copy = Invocation::new("cp").args(["-a", "-t"]).arg(directory).arg("--").args(entries);
    run(&copy).map_err(|failure| failure.context(context()))?;
    Ok(())
}
