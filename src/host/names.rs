//! Temporary names for unnamed files, for programs that cannot read from a file descriptor.

use super::failure::{Context, Failure};
use super::interrupt::{remove_on_interrupt, unregister_file};
use super::unnamed::link;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

const PREFIX: &str = ".ister-names-";

/// A hidden directory with names for unnamed files. It is removed when this value is dropped, or, if the process is
/// killed, when the next one is created in the same place.
pub struct Names {
    directory: PathBuf,
    count: usize,
    /// Held as long as this process runs, to show other processes that the directory is in use.
    _lock: File,
}

impl Names {
    /// Creates the directory. On the same filesystem as the files, nothing is copied.
    pub fn begin(parent_directory: &Path) -> Result<Names, Failure> {
        let context = || format!("could not create a directory in `{}`", parent_directory.display());
        // The lock keeps other processes from removing a directory that is created but not locked yet.
        let parent = File::open(parent_directory).context(context)?;
        flock(&parent, FlockOperation::LockExclusive).context(context)?;
        remove_leftover_directories(parent_directory);
        let directory =
            tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent_directory).context(context)?;
        let lock = File::open(directory.path()).context(context)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).context(context)?;
        remove_on_interrupt(directory.path());
        Ok(Names { directory: directory.keep(), count: 0, _lock: lock })
    }

    /// Creates a name for the file.
    pub fn give(&mut self, file: &File) -> Result<String, Failure> {
        let path = self.directory.join(self.count.to_string());
        self.count += 1;
        let context = || format!("could not write `{}`", path.display());
        if link(file, &path).is_err() {
            let mut from = file;
            from.rewind().context(context)?;
            io::copy(&mut from, &mut File::create(&path).context(context)?).context(context)?;
        }
        Ok(path.display().to_string())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
        unregister_file(&self.directory);
    }
}

/// Removes directories whose locks are free.
fn remove_leftover_directories(parent_directory: &Path) {
    let Ok(entries) = std::fs::read_dir(parent_directory) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let is_free = || {
            File::open(entry.path())
                .is_ok_and(|directory| flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok())
        };
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_dir()) && is_free() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn names_are_removed_also_after_a_kill() {
        let parent_directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(parent_directory.path().join(".ister-names-killed")).unwrap();
        let mut file = tempfile::tempfile_in(parent_directory.path()).unwrap();
        file.write_all(b"content").unwrap();
        let mut names = Names::begin(parent_directory.path()).unwrap();
        let path = names.give(&file).unwrap();
        assert_ne!(path, names.give(&file).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        // A second directory leaves the first one alone.
        drop(Names::begin(parent_directory.path()).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        drop(names);
        assert_eq!(std::fs::read_dir(parent_directory.path()).unwrap().count(), 0);
    }
}
