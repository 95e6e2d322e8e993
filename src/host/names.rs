//! Names for a while: some programs read no file that has none.

use super::failure::{Context, Failure};
use super::interrupt::{forget_file, remove_on_interrupt};
use super::unnamed::link;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

const PREFIX: &str = ".ister-names-";

/// A hidden directory in which unnamed files have names. It goes with this value; if the process is killed, with the next
/// one that is made at the same place.
pub struct Names {
    directory: PathBuf,
    count: usize,
    /// Held for as long as this process lives: a sign to others.
    _lock: File,
}

impl Names {
    /// On the files' own filesystem nothing has to be copied.
    pub fn begin(beside: &Path) -> Result<Names, Failure> {
        let context = || format!("could not make a directory in `{}`", beside.display());
        // Nobody sweeps away what another one has just made and not locked yet.
        let parent = File::open(beside).context(context)?;
        flock(&parent, FlockOperation::LockExclusive).context(context)?;
        sweep(beside);
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(beside).context(context)?;
        let lock = File::open(directory.path()).context(context)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).context(context)?;
        remove_on_interrupt(directory.path());
        Ok(Names { directory: directory.keep(), count: 0, _lock: lock })
    }

    /// Another name for the file.
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
        forget_file(&self.directory);
    }
}

/// Removes directories that nobody holds any more.
fn sweep(beside: &Path) {
    let Ok(entries) = std::fs::read_dir(beside) else { return };
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
    fn names_go_and_those_of_a_killed_process_too() {
        let beside = tempfile::tempdir().unwrap();
        std::fs::create_dir(beside.path().join(".ister-names-killed")).unwrap();
        let mut file = tempfile::tempfile_in(beside.path()).unwrap();
        file.write_all(b"content").unwrap();
        let mut names = Names::begin(beside.path()).unwrap();
        let path = names.give(&file).unwrap();
        assert_ne!(path, names.give(&file).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        // Another one beside it leaves it alone.
        drop(Names::begin(beside.path()).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        drop(names);
        assert_eq!(std::fs::read_dir(beside.path()).unwrap().count(), 0);
    }
}
