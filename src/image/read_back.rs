//! Reads every new filesystem back with ister's own readers and compares it with the tree. If they differ, no image
//! is written.

use crate::disk::{Opened, Scan, Stores, Window, compare, content_difference, first_unsupported};
use crate::host::{Failure, Part};
use crate::plan::{Filesystem, Partition};
use crate::template::FilesystemType;

/// Checks, before the filesystem is made, that it can store the tree.
pub(super) fn check(
    disk: &str,
    partition: &Partition,
    filesystem: &Filesystem,
    scan: &Scan,
) -> Result<(), Failure> {
    let unit = partition.space.as_ref().map_or(4096, |space| space.allocation_unit.0);
    // These are 0 in the build's user namespace.
    let caller = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match first_unsupported(filesystem.kind, unit, caller, &scan.tree) {
        Some(found) => Err(cannot_hold(disk, partition, &found.path, &found.problem)),
        None => Ok(()),
    }
}

/// Describes a file that the filesystem cannot store. `path` starts at the root of the filesystem.
pub(super) fn cannot_hold(disk: &str, partition: &Partition, path: &str, problem: &str) -> Failure {
    Failure::new(format!("{} cannot store `{}`", partition.title(), in_system(partition, path)))
        .detail(problem.to_owned())
        .help("remove or rename it in a hook, or use another `type` for the partition in FilesystemTypes")
        .of_template()
        .about(disk, partition.number, Part::Filesystem)
}

/// Compares the filesystem in a window with the tree. For vfat, file contents are compared too.
pub(super) fn read_back(
    partition: &Partition,
    filesystem: &Filesystem,
    scan: &Scan,
    window: &Window,
) -> Result<(), Failure> {
    let unreadable = |error: crate::disk::ReadError| {
        Failure::new(format!("could not read back {}", partition.title())).caused_by(&error)
    };
    let opened = Opened::open(window).map_err(unreadable)?;
    let found = opened.tree().map_err(unreadable)?;
    let is_vfat = filesystem.kind == FilesystemType::Vfat;
    let keeps = Stores { owners: !is_vfat, case: !is_vfat, others: filesystem.keep };
    let told = match compare(&scan.tree, &found, keeps) {
        Err(difference) => Some(difference),
        Ok(files) if is_vfat => content_difference(files, &scan.paths, &found, window).map_err(unreadable)?,
        Ok(_) => None,
    };
    let Some((path, what)) = told else { return Ok(()) };
    Err(Failure::new(format!(
        "{}: `{}` differs from the root tree after writing",
        partition.title(),
        in_system(partition, &path)
    ))
    .detail(what)
    .help("no image was written; this is a bug in ister or in a program it runs: please report it"))
}

fn in_system(partition: &Partition, path: &str) -> String {
    let mount = partition.mount.as_deref().unwrap_or_default().trim_end_matches('/');
    if path.is_empty() { format!("{mount}/") } else { format!("{mount}{path}") }
}
