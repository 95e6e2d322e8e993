//! Partitions that keep their filesystem (`disable_format`): what the content would put there.
//!
//! Nothing of them is mounted, so nothing can be written into most of them now. The files wait in the system's factory
//! directory instead, and systemd-tmpfiles copies at the first boot what is not there yet: nobody's files are overwritten.
//! Only a kept vfat is written to at once, since a loader must find its files before anything boots.

use super::make::{MakeError, Target, fill_vfat};
use crate::content::Tree;
use crate::disk::Window;
use crate::host::Failure;
use crate::plan::{Filesystem, Partition, Plan};
use crate::template::FilesystemType;
use std::path::Path;

/// Where tmpfiles.d(5) looks for what `C` lines copy.
const FACTORY: &str = "/usr/share/factory";
const LINES: &str = "/etc/tmpfiles.d/ister-kept.conf";

/// Puts a directory's files into a kept vfat.
pub(super) fn add_to_vfat(partition: &Partition, directory: &Path, target: &Target) -> Result<(), MakeError> {
    let window = Window { file: target.file, offset: target.offset.0, size: partition.size.0 };
    fill_vfat(partition, directory, &window, false, target)
}

/// Moves what lies at the mount point of a kept filesystem to where the first boot takes it from.
pub(super) fn set_aside(plan: &Plan, root: &Path) -> Result<(), Failure> {
    let tree = Tree::open(root)?;
    let mut lines = String::new();
    for (_, partition) in plan.partitions() {
        let (Some(filesystem), Some(mount)) = (&partition.filesystem, &partition.mount) else { continue };
        if !waits(filesystem) {
            continue;
        }
        for name in tree.list(mount) {
            let (from, to) = (format!("{mount}/{name}"), format!("{FACTORY}{mount}/{name}"));
            tree.rename(&from, &to)?;
            lines.push_str(&format!("C {} - - - -\n", escaped(&from)));
        }
        if tree.is_directory(&format!("{FACTORY}{mount}")) {
            // A home's content is for its owner only, who cannot come here; root copies it.
            tree.set_mode(&format!("{FACTORY}{mount}"), 0o700)?;
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    tree.write(
        LINES,
        &format!("# Written by ister: filesystems that were kept get what they lack.\n{lines}"),
        0o644,
    )
}

fn waits(filesystem: &Filesystem) -> bool {
    filesystem.keep && filesystem.kind != FilesystemType::Vfat
}

/// Source: tmpfiles.d(5): fields are separated by white space, `%` begins a specifier.
fn escaped(path: &str) -> String {
    path.replace('%', "%%").replace('\\', "\\\\").replace(' ', "\\x20").replace('\t', "\\x09")
}
