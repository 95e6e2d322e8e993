//! Preserved filesystems (`disable_format`): how the content gets into them.
//!
//! A build does not mount them, so it cannot write into most of them. Their files are stored in the system's factory
//! directory instead. At the first boot, systemd-tmpfiles copies those that do not exist yet, so no existing file is
//! overwritten. Only a preserved vfat filesystem is written to at build time, because a boot loader must find its
//! files before anything boots.

use super::make::{FilesystemTarget, MakeError, fill_vfat};
use crate::content::Tree;
use crate::disk::Window;
use crate::host::Failure;
use crate::plan::{Filesystem, Partition, Plan};
use crate::template::FilesystemType;
use std::path::Path;

/// Source directory of `C` lines without an argument. Source: tmpfiles.d(5).
const FACTORY: &str = "/usr/share/factory";
const TMPFILES: &str = "/etc/tmpfiles.d/ister-kept.conf";

/// Adds the files of a directory to a preserved vfat filesystem.
pub(super) fn add_to_vfat(
    partition: &Partition,
    directory: &Path,
    target: &FilesystemTarget,
) -> Result<(), MakeError> {
    let window = Window { file: target.file, offset: target.offset.0, size: partition.size.0 };
    fill_vfat(partition, directory, &window, false, target)
}

/// Moves the content of the mount points of preserved filesystems to the factory directory.
pub(super) fn set_aside(plan: &Plan, root: &Path) -> Result<(), Failure> {
    let tree = Tree::open(root)?;
    let mut lines = String::new();
    for (_, partition) in plan.partitions() {
        let (Some(filesystem), Some(mount)) = (&partition.filesystem, &partition.mount) else { continue };
        if !is_deferred(filesystem) {
            continue;
        }
        for name in tree.list(mount) {
            let (from, to) = (format!("{mount}/{name}"), format!("{FACTORY}{mount}/{name}"));
            tree.rename(&from, &to)?;
            lines.push_str(&format!("C {} - - - -\n", escaped(&from)));
        }
        if tree.is_directory(&format!("{FACTORY}{mount}")) {
            // Home directories are private to their owners. Only root needs access here, to copy them.
            tree.set_mode(&format!("{FACTORY}{mount}"), 0o700)?;
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    tree.write(
        TMPFILES,
        &format!("# Written by ister: adds missing files to preserved filesystems.\n{lines}"),
        0o644,
    )
}

fn is_deferred(filesystem: &Filesystem) -> bool {
    filesystem.keep && filesystem.kind != FilesystemType::Vfat
}

/// Escapes a path. Source: tmpfiles.d(5): fields are separated by white space, `%` starts a specifier.
fn escaped(path: &str) -> String {
    path.replace('%', "%%").replace('\\', "\\\\").replace(' ', "\\x20").replace('\t', "\\x09")
}
