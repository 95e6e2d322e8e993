//! Everything that was made is read back by ister's own readers and held against the tree: what the image should hold, it
//! holds, or there is no image.

use crate::disk::{Keeps, Opened, Scan, Window, compare, content_difference, unholdable};
use crate::host::{Failure, Part};
use crate::plan::{Filesystem, Partition};
use crate::template::FilesystemType;

/// What the filesystem cannot hold, before it is made.
pub(super) fn check(
    disk: &str,
    partition: &Partition,
    filesystem: &Filesystem,
    scan: &Scan,
) -> Result<(), Failure> {
    let unit = partition.space.as_ref().map_or(4096, |space| space.allocation_unit.0);
    // Root, inside the build's namespace.
    let caller = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    match unholdable(filesystem.kind, unit, caller, &scan.tree) {
        Some(found) => Err(cannot_hold(disk, partition, &found.path, &found.problem)),
        None => Ok(()),
    }
}

/// `path`: from the filesystem's root.
pub(super) fn cannot_hold(disk: &str, partition: &Partition, path: &str, problem: &str) -> Failure {
    Failure::new(format!("{} cannot store `{}`", partition.title(), in_system(partition, path)))
        .detail(problem.to_owned())
        .help("remove or rename it in a hook, or give the partition another `type` in FilesystemTypes")
        .of_template()
        .about(disk, partition.number, Part::Filesystem)
}

/// What was made, as it lies in the window. Of vfat the bytes of files are held against the tree too.
pub(super) fn read_back(
    partition: &Partition,
    filesystem: &Filesystem,
    scan: &Scan,
    window: &Window,
) -> Result<(), Failure> {
    let unreadable = |error: crate::disk::ReadError| {
        Failure::new(format!("{} does not read back", partition.title())).caused_by(&error)
    };
    let opened = Opened::open(window).map_err(unreadable)?;
    let found = opened.tree().map_err(unreadable)?;
    let is_vfat = filesystem.kind == FilesystemType::Vfat;
    let keeps = Keeps { owners: !is_vfat, case: !is_vfat, others: filesystem.keep };
    let told = match compare(&scan.tree, &found, keeps) {
        Err(difference) => Some(difference),
        Ok(files) if is_vfat => content_difference(files, &scan.paths, &found, window).map_err(unreadable)?,
        Ok(_) => None,
    };
    let Some((path, what)) = told else { return Ok(()) };
    Err(Failure::new(format!(
        "{}: `{}` differs from the tree after writing",
        partition.title(),
        in_system(partition, &path)
    ))
    .detail(what)
    .help("no image was written; this is a bug in ister or in a program that it runs: please report it"))
}

fn in_system(partition: &Partition, path: &str) -> String {
    let mount = partition.mount.as_deref().unwrap_or_default().trim_end_matches('/');
    if path.is_empty() { format!("{mount}/") } else { format!("{mount}{path}") }
}
