//! Atomic files: a file appears under its name only when it is complete.
//!
//! On filesystems with `O_TMPFILE` (ext4, xfs, btrfs, tmpfs, overlayfs since Linux 6.1), the file has no name until
//! then, so that not even `kill -9` leaves anything behind. On other filesystems it has a temporary name next to its
//! destination, which is removed on failure, on signals, and when the same file is written again.

use super::Failure;
use super::failure::Context;
use super::interrupt::{remove_on_interrupt, unregister_file};
use super::lock::{Lock, try_lock};
use super::unnamed::link;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a crash of the host may do to a recently published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the file is synced to disk.
    Synced,
    /// It may damage the file: readers verify a hash.
    Checked,
}

pub struct AtomicFile {
    pub file: File,
    destination: PathBuf,
    /// Temporary name, on filesystems without unnamed files.
    named: Option<PathBuf>,
}

/// Writes a small file atomically: readers see either the old or the complete new file.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut temporary_file = AtomicFile::begin(path)?;
    temporary_file.file.write_all(bytes).context(|| format!("could not write `{}`", path.display()))?;
    temporary_file.publish(Durability::Synced)
}

impl AtomicFile {
    /// Creates a file that will become `destination`. Its directory must exist.
    pub fn begin(destination: &Path) -> Result<AtomicFile, Failure> {
        let directory = parent(destination);
        let context = || format!("could not create a file in `{}`", directory.display());
        let mode = Mode::from_raw_mode(0o666);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        remove_leftover_files(destination);
        let temporary_file = match rustix::fs::open(directory, flags, mode) {
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
        // Held as long as the file is open, to show other processes that the file is in use.
        if try_lock(&temporary_file.file).context(context)? == Lock::Theirs {
            return Err(Failure::new(context()).detail("another process locked it as a leftover file"));
        }
        Ok(temporary_file)
    }

    /// Renames the file to its destination in one step: readers see either the old or the complete new file.
    pub fn publish(mut self, durability: Durability) -> Result<(), Failure> {
        let context = || format!("could not rename a temporary file to `{}`", self.destination.display());
        if durability == Durability::Synced {
            self.file.sync_all().context(context)?;
        }
        let temporary = match self.named.take() {
            Some(path) => path,
            None => {
                // linkat cannot replace a file, but rename can.
                let path = temporary_name(&self.destination);
                link(&self.file, &path).context(context)?;
                path
            }
        };
        let renamed = std::fs::rename(&temporary, &self.destination).context(context);
        if renamed.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        unregister_file(&temporary);
        renamed?;
        if durability == Durability::Checked {
            return Ok(());
        }
        // The directory entry must be synced too.
        File::open(parent(&self.destination)).and_then(|directory| directory.sync_all()).context(context)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            let _ = std::fs::remove_file(path);
            unregister_file(path);
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

/// Removes temporary files of killed builds of the same file, whose locks are free.
fn remove_leftover_files(destination: &Path) {
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
    fn atomic_file_appears_only_when_published() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.img");
        std::fs::write(&path, "old").unwrap();
        let mut temporary_file = AtomicFile::begin(&path).unwrap();
        temporary_file.file.write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        temporary_file.publish(Durability::Synced).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["a.img"]);
    }

    #[test]
    fn dropped_atomic_file_leaves_no_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.img");
        std::fs::write(directory.path().join(".a.img.ister-999999999"), "left by a killed build").unwrap();
        drop(AtomicFile::begin(&path).unwrap());
        assert!(names(directory.path()).is_empty());
    }
}
