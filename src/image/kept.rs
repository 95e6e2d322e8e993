//! Partitions that keep their filesystem (`disable_format`): what the content would put there.
//!
//! Nothing of them is mounted, so nothing can be written into most of them now. The files wait in the system's factory
//! folder instead, and systemd-tmpfiles copies at the first boot what is not there yet: nobody's files are overwritten.
//! Only a kept vfat is written to at once, since a loader must find its files before anything boots.

use super::make::Target;
use super::vfat;
use crate::content::Tree;
use crate::filesystem::fat::Fat;
use crate::filesystem::{Window, is_zero};
use crate::plan::{Filesystem, Partition, Plan};
use crate::template::FilesystemType;
use crate::tool::{Context, Failure};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where tmpfiles.d(5) looks for what `C` lines copy.
const FACTORY: &str = "/usr/share/factory";
const LINES: &str = "/etc/tmpfiles.d/ister-kept.conf";

/// Puts a folder's files into a kept vfat. They are added in a copy, and what differs is written back: mtools wants to know
/// the geometry of a device, which not every device has.
pub fn add_to_vfat(partition: &Partition, folder: &Path, target: &Target) -> Result<(), Failure> {
    const PIECE: usize = 1 << 20;
    let path = target.workspace.join(format!("kept-{}", target.name));
    let context = || format!("could not copy {}", partition.title());
    let copy = File::options().create_new(true).read(true).write(true).open(&path).context(context)?;
    copy.set_len(partition.size.0).context(context)?;
    let mut before = vec![0; PIECE];
    let mut after = vec![0; PIECE];
    let pieces =
        || (0..partition.size.0).step_by(PIECE).map(|at| (at, PIECE.min((partition.size.0 - at) as usize)));
    for (at, count) in pieces() {
        let piece = &mut before[..count];
        target.file.read_exact_at(piece, target.offset.0 + at).context(context)?;
        if !is_zero(piece) {
            copy.write_all_at(piece, at).context(context)?;
        }
    }
    let there = {
        let window = Window { file: &copy, offset: 0, size: partition.size.0 };
        let tree = Fat::open(&window).and_then(|fat| fat.tree());
        tree.map_err(|error| Failure::new("what is there cannot be read").caused_by(&error))?
    };
    vfat::add(folder, &path.to_string_lossy(), &|name| there.find(name).is_some(), target.epoch)?;
    let context = || format!("could not write {}", partition.title());
    for (at, count) in pieces() {
        let (old, new) = (&mut before[..count], &mut after[..count]);
        target.file.read_exact_at(old, target.offset.0 + at).context(context)?;
        copy.read_exact_at(new, at).context(context)?;
        if old != new {
            target.file.write_all_at(new, target.offset.0 + at).context(context)?;
        }
    }
    std::fs::remove_file(&path).context(context)
}

/// Moves what lies at the mount point of a kept filesystem to where the first boot takes it from.
pub fn set_aside(plan: &Plan, root: &Path) -> Result<(), Failure> {
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
        if tree.is_folder(&format!("{FACTORY}{mount}")) {
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
