//! A file that gets its name only when it is finished.
//!
//! Where the filesystem can (`O_TMPFILE`: ext4, xfs, btrfs, tmpfs, overlayfs from Linux 6.1), a draft has no name
//! at all until then, so that not even `kill -9` leaves anything behind. Elsewhere it has a temporary name
//! beside its destination, which is removed on failure, on signals, and when the same file is made again.

use super::Failure;
use super::failure::Context;
use super::interrupt::{forget_file, remove_on_interrupt};
use super::lock::{Lock, try_lock};
use super::unnamed::link;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a crash of the host may do to a file that was published just before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing.
    Synced,
    /// Damage it: whoever reads it checks a hash.
    Checked,
}

pub struct AtomicFile {
    pub file: File,
    destination: PathBuf,
    /// Only where the filesystem knows no unnamed files.
    named: Option<PathBuf>,
}

/// Writes a small file: whoever looks sees the old one or the whole new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut draft = AtomicFile::begin(path)?;
    draft.file.write_all(bytes).context(|| format!("could not write `{}`", path.display()))?;
    draft.publish(Durability::Synced)
}

impl AtomicFile {
    /// Begins a file that will be `destination`. Its directory must exist.
    pub fn begin(destination: &Path) -> Result<AtomicFile, Failure> {
        let directory = parent(destination);
        let context = || format!("could not create a file in `{}`", directory.display());
        let mode = Mode::from_raw_mode(0o666);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        sweep(destination);
        let draft = match rustix::fs::open(directory, flags, mode) {
            Ok(fd) => Ok(AtomicFile { file: fd.into(), destination: destination.to_owned(), named: None }),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::NOSYS) => {
                let path = temporary_name(destination);
                let file =
                    File::options().read(true).write(true).create_new(true).open(&path).context(context)?;
                remove_on_interrupt(&path);
                Ok(AtomicFile { file, destination: destination.to_owned(), named: Some(path) })
            }
            Err(error) => Err(error).context(context),
        }?;
        // For as long as this process has the file: a sign to others that it is alive.
        if try_lock(&draft.file).context(context)? == Lock::Theirs {
            return Err(
                Failure::new(context()).detail("another process took it for one that was left behind")
            );
        }
        Ok(draft)
    }

    /// Gives the file its name, in one step: whoever looks sees the old file or the whole new one.
    pub fn publish(mut self, durability: Durability) -> Result<(), Failure> {
        let context = || format!("could not put `{}` in its place", self.destination.display());
        if durability == Durability::Synced {
            self.file.sync_all().context(context)?;
        }
        let temporary = match self.named.take() {
            Some(path) => path,
            None => {
                // linkat cannot replace a file, rename can.
                let path = temporary_name(&self.destination);
                link(&self.file, &path).context(context)?;
                path
            }
        };
        let renamed = std::fs::rename(&temporary, &self.destination).context(context);
        if renamed.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        forget_file(&temporary);
        renamed?;
        if durability == Durability::Checked {
            return Ok(());
        }
        // The name itself has to reach the disk too.
        File::open(parent(&self.destination)).and_then(|directory| directory.sync_all()).context(context)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            let _ = std::fs::remove_file(path);
            forget_file(path);
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn prefix(destination: &Path) -> String {
    format!(".{}.ister-", destination.file_name().unwrap_or_default().to_string_lossy())
}

fn temporary_name(destination: &Path) -> PathBuf {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    destination.with_file_name(format!("{}{}-{time}", prefix(destination), std::process::id()))
}

/// Removes what a build of the same file left here that was killed: nobody holds its lock any more.
fn sweep(destination: &Path) {
    let prefix = prefix(destination);
    let Ok(entries) = std::fs::read_dir(parent(destination)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(&prefix)) {
            continue;
        }
        let file = File::options().read(true).write(true).open(entry.path());
        let free = file.is_ok_and(|file| try_lock(&file).is_ok_and(|lock| lock == Lock::Ours));
        if free {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn an_atomic_file_appears_only_when_published() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.img");
        std::fs::write(&path, "old").unwrap();
        let mut draft = AtomicFile::begin(&path).unwrap();
        draft.file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        draft.publish(Durability::Synced).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["a.img"]);
    }

    #[test]
    fn a_dropped_atomic_file_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.img");
        std::fs::write(directory.path().join(".a.img.ister-999999999"), "left by a killed build").unwrap();
        drop(AtomicFile::begin(&path).unwrap());
        assert!(names(directory.path()).is_empty());
    }
}
