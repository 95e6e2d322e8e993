//! Makes the finished tree available for inspection: `-D DIR` and `-m`.

use crate::host::{Context, Failure, Invocation, run};
use rustix::mount::UnmountFlags;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A bind mount of the tree in this namespace, unmounted on drop.
pub struct Shown {
    at: PathBuf,
}

/// Mounts the tree at `directory`, whose path hooks then get. The mount is not visible on the host.
pub fn shown_at(tree: &Path, directory: &Path) -> Result<Shown, Failure> {
    rustix::mount::mount_bind(tree, directory)
        .context(|| format!("could not mount the tree at `{}`", directory.display()))?;
    Ok(Shown { at: directory.to_owned() })
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.at, UnmountFlags::DETACH);
    }
}

/// Copies the tree with all attributes into a directory of the host. The directory is accessible only to the user,
/// because the tree contains programs with setuid bits.
pub fn keep_tree(tree: &Path, directory: &Path) -> Result<(), Failure> {
    let context = || format!("could not copy the tree to `{}`", directory.display());
    std::fs::set_permissions(directory, Permissions::from_mode(0o700)).context(context)?;
    // Copy the entries, not the root directory itself, whose mode would replace that of the target.
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(tree).context(context)? {
        entries.push(entry.context(context)?.path());
    }
    entries.sort();
    let copy = Invocation::new("cp").args(["-a", "-t"]).arg(directory).arg("--").args(entries);
    run(&copy).map_err(|failure| failure.context(context()))?;
    Ok(())
}
