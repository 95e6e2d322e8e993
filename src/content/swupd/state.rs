//! The state directory (`-S`): stores fetched objects by hash for later builds.
//!
//! | name | content |
//! | --- | --- |
//! | `objects/ab/cdef…` | an object as a tar with one member; verified again whenever it is used |
//! | `parts/…` | partial downloads of packs |
//! | `incoming/` | files being written |
//! | `lock` | shared lock of all users of the directory; an exclusive holder may clean up |

use super::hash::{ObjectHash, ObjectKind};
use super::object::{Object, ObjectContent, ObjectError, only_member, tar_around};
use crate::host::{Context, Failure};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Maximum size of object files that are read as a whole.
const WHOLE_FILE: u64 = (1 << 20) + 4096;

pub(super) struct State {
    directory: PathBuf,
    _lock: File,
}

/// The partial download of a pack, locked for appending.
pub(super) struct PartialDownload {
    pub file: File,
    path: PathBuf,
}

impl State {
    /// # Errors
    /// Fails also if the directory or its content belongs to another user, who could redirect accesses with links.
    pub(super) fn open(directory: &Path) -> Result<State, Failure> {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        // Entries of directories that only we can write to are ours.
        for path in [
            directory.clone(),
            directory.join("objects"),
            directory.join("parts"),
            directory.join("incoming"),
        ] {
            std::fs::create_dir_all(&path)
                .context(|| format!("could not create the state directory `{}`", path.display()))?;
            only_we_write(&path)?;
            // The state directory itself may be a link that belongs to us.
            if path != directory && !path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(Failure::new(format!(
                    "`{}` in the state directory is not a directory",
                    path.display()
                ))
                .help("remove it, or select another directory with -S"));
            }
        }
        for entry in std::fs::read_dir(directory.join("objects")).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                return Err(Failure::new(format!(
                    "`{}` in the state directory is not a directory",
                    entry.path().display()
                ))
                .help("remove it, or select another directory with -S"));
            }
        }
        let path = directory.join("lock");
        let context = || format!("could not lock `{}`", path.display());
        let lock = plain_file(&path, false).context(context)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // There are no other users: files being written are left over from killed builds.
            let incoming = directory.join("incoming");
            for entry in std::fs::read_dir(&incoming).into_iter().flatten().flatten() {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        flock(&lock, FlockOperation::LockShared).context(context)?;
        Ok(State { directory, _lock: lock })
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn part_path(&self, url: &str) -> PathBuf {
        self.directory.join("parts").join(&blake3::hash(url.as_bytes()).to_hex()[..32])
    }

    /// Whether a partial download of this URL exists.
    pub(super) fn has_part(&self, url: &str) -> bool {
        self.part_path(url).symlink_metadata().is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Removes a partial download, unless another process is using it.
    pub(super) fn forget_part(&self, url: &str) {
        let path = self.part_path(url);
        let lock = File::options().read(true).custom_flags(NO_LINK).open(&path);
        if lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()) {
            let _ = std::fs::remove_file(&path);
        }
    }

    fn path(&self, hash: &ObjectHash) -> PathBuf {
        let name = hash.to_string();
        self.directory.join("objects").join(&name[..2]).join(&name[2..])
    }

    pub(super) fn has(&self, hash: &ObjectHash) -> bool {
        rustix::fs::access(self.path(hash), rustix::fs::Access::EXISTS).is_ok()
    }

    pub(super) fn forget(&self, hash: &ObjectHash) {
        let _ = std::fs::remove_file(self.path(hash));
    }

    /// Stores an object if its hash matches. The outer error is a failure of this host.
    pub(super) fn put(
        &self,
        hash: &ObjectHash,
        object: &Object,
        data: &mut dyn Read,
    ) -> Result<Result<(), ObjectError>, Failure> {
        let context = || format!("could not store an object in `{}`", self.directory.display());
        let whole = match object.take(hash, data) {
            Ok(ObjectContent::Whole(content)) => content,
            Ok(ObjectContent::Stream(data)) => return self.put_stream(hash, object, data),
            Err(error) => return Ok(Err(error)),
        };
        let content = if object.attributes.kind == ObjectKind::File { &whole[..] } else { &[] };
        let (head, tail) = tar_around(hash, object).context(context)?;
        let tar = [&head, content, &tail].concat();
        self.place(hash, |file| file.write_all(&tar)).map_err(|error| on_state_disk(error, context()))?;
        Ok(Ok(()))
    }

    fn put_stream(
        &self,
        hash: &ObjectHash,
        object: &Object,
        data: &mut dyn Read,
    ) -> Result<Result<(), ObjectError>, Failure> {
        let context = || format!("could not store an object in `{}`", self.directory.display());
        let (head, tail) = tar_around(hash, object).context(context)?;
        let mut refused = None;
        let placed = self.place(hash, |file| {
            file.write_all(&head)?;
            match object.stream(hash, data, |bytes| file.write_all(bytes)) {
                Ok(()) => file.write_all(&tail),
                Err(ObjectError::Write(error)) => Err(error),
                Err(error) => {
                    refused = Some(error);
                    Err(io::Error::other("refused"))
                }
            }
        });
        match (refused, placed) {
            (Some(error), _) => Ok(Err(error)),
            (None, placed) => placed.map_err(|error| on_state_disk(error, context())).map(Ok),
        }
    }

    /// Writes a file under a temporary name and renames it.
    fn place(&self, hash: &ObjectHash, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        // The name is random: builds in separate namespaces can have the same process IDs.
        let mut incoming =
            tempfile::Builder::new().prefix("").tempfile_in(self.directory.join("incoming"))?;
        write(incoming.as_file_mut())?;
        let path = self.path(hash);
        match incoming.persist(&path) {
            Ok(_) => Ok(()),
            Err(failed) if failed.error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(path.parent().expect("the path of an object has a parent"))?;
                failed.file.persist(&path).map(|_| ()).map_err(|failed| failed.error)
            }
            Err(failed) => Err(failed.error),
        }
    }

    /// Passes a stored object to `visit`. Returns `Ok(false)` if it is missing or damaged; damaged objects are removed.
    pub(super) fn get(
        &self,
        hash: &ObjectHash,
        visit: impl FnMut(Object, &mut dyn Read) -> Result<(), ObjectError>,
    ) -> io::Result<bool> {
        let path = self.path(hash);
        let mut file = match File::options().read(true).custom_flags(NO_LINK).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // The path is a link.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                std::fs::remove_file(&path)?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            let why = format!("`{}` in the state directory is a directory: remove it", path.display());
            return Err(io::Error::other(why));
        }
        let length = metadata.len();
        let read = if length <= WHOLE_FILE {
            let mut bytes = Vec::with_capacity(length as usize);
            file.read_to_end(&mut bytes)?;
            only_member(&bytes[..], hash, visit)
        } else {
            only_member(BufReader::with_capacity(128 << 10, file), hash, visit)
        };
        match read {
            Ok(()) => Ok(true),
            Err(ObjectError::Write(error)) => Err(error),
            Err(_) => {
                let _ = std::fs::remove_file(&path);
                Ok(false)
            }
        }
    }

    /// Opens and locks the partial download of a URL. Calls `waiting` and waits if another build is fetching it.
    pub(super) fn part(&self, url: &str, waiting: impl Fn()) -> Result<PartialDownload, Failure> {
        let path = self.part_path(url);
        let context = || format!("could not lock `{}`", path.display());
        loop {
            let file = plain_file(&path, true).context(context)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                waiting();
                flock(&file, FlockOperation::LockExclusive).context(context)?;
            }
            // The previous holder may have removed the file.
            let same = std::fs::metadata(&path)
                .is_ok_and(|now| file.metadata().is_ok_and(|ours| now.ino() == ours.ino()));
            if same {
                return Ok(PartialDownload { file, path });
            }
        }
    }
}

/// Links are not followed, and opening a FIFO does not block.
const NO_LINK: i32 = (OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits()) as i32;

/// Opens or creates a regular file, for appending if it is also read.
fn plain_file(path: &Path, read: bool) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).custom_flags(NO_LINK);
    let file = if read { options.read(true).append(true) } else { options.write(true) }.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

fn on_state_disk(error: io::Error, what: String) -> Failure {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let failure = Err::<(), _>(error).context(|| what).unwrap_err();
    if !is_full {
        return failure;
    }
    failure
        .help("free some space (`ister cache prune` empties the cache), or select another directory with -S")
}

/// Checks that no other user owns or can write to a directory and thus replace its entries during the build.
fn only_we_write(path: &Path) -> Result<(), Failure> {
    let context = || format!("could not use the state directory `{}`", path.display());
    let metadata = path.metadata().context(context)?;
    let owner = metadata.uid();
    if metadata.mode() & 0o002 != 0 {
        return Err(Failure::new(context())
            .detail(format!(
                "its mode is {:04o}: it must not be writable by other users",
                metadata.mode() & 0o7777
            ))
            .help("run `chmod o-w` on it, or select another directory with -S"));
    }
    if ![0, rustix::process::geteuid().as_raw()].contains(&owner) {
        return Err(Failure::new(context())
            .detail(format!("it belongs to another user (uid {owner})"))
            .help("select a directory of your own with -S"));
    }
    Ok(())
}

/// Removes all objects from a state directory, unless it is in use. Returns the number of freed bytes.
pub fn prune(directory: &Path) -> Result<u64, Failure> {
    let lock = File::options().read(true).custom_flags(NO_LINK).open(directory.join("lock"));
    let Ok(lock) = lock else { return Ok(0) };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(0);
    }
    let mut freed = 0;
    let mut todo: Vec<PathBuf> = ["objects", "parts", "incoming"].map(|name| directory.join(name)).to_vec();
    while let Some(below) = todo.pop() {
        if !below.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            continue;
        }
        for entry in std::fs::read_dir(&below).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(path);
                continue;
            }
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            std::fs::remove_file(&path).context(|| format!("could not remove `{}`", path.display()))?;
            freed += size;
        }
    }
    Ok(freed)
}

impl PartialDownload {
    /// Returns a reader of the current content.
    pub(super) fn reader(&self) -> io::Result<impl Read + Send + 'static> {
        let file = self.file.try_clone()?;
        let length = file.metadata()?.len();
        Ok(At { file, at: 0 }.take(length))
    }

    /// Removes the file when it is complete or invalid.
    pub(super) fn forget(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Stores its own offset, because the offset of the file handle moves when data is appended.
struct At {
    file: File,
    at: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = std::os::unix::fs::FileExt::read_at(&self.file, buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::swupd::hash::{Attributes, object_hash};

    fn file(content: &[u8]) -> (ObjectHash, Object) {
        let attributes =
            Attributes { kind: ObjectKind::File, mode: 0o600, uid: 1, gid: 2, size: content.len() as u64 };
        (object_hash(&attributes, content), Object { attributes, mtime: 5, target: Vec::new() })
    }

    #[test]
    fn only_objects_with_matching_hash_are_stored() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        for content in [b"hello\n".to_vec(), vec![9; 3 << 20]] {
            let (hash, object) = file(&content);
            let mut wrong = content.clone();
            wrong[0] ^= 1;
            assert!(matches!(state.put(&hash, &object, &mut &wrong[..]).unwrap(), Err(ObjectError::Hash(_))));
            assert!(!state.has(&hash));
            state.put(&hash, &object, &mut &content[..]).unwrap().unwrap();
            let mut read = Vec::new();
            let there = state.get(&hash, |found, data| {
                assert_eq!(found, object);
                data.read_to_end(&mut read)?;
                Ok(())
            });
            assert!(there.unwrap() && read == content);
            assert_eq!(std::fs::read_dir(directory.path().join("incoming")).unwrap().count(), 0);
        }
    }

    #[test]
    fn damaged_objects_are_removed_and_write_errors_keep_them() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let (hash, object) = file(b"hello\n");
        state.put(&hash, &object, &mut &b"hello\n"[..]).unwrap().unwrap();
        let full = |_: Object, _: &mut dyn Read| Err(ObjectError::Write(io::ErrorKind::StorageFull.into()));
        assert_eq!(state.get(&hash, full).unwrap_err().kind(), io::ErrorKind::StorageFull);
        let check = |object: Object, data: &mut dyn Read| object.take(&hash, data).map(|_| ());
        assert!(state.get(&hash, check).unwrap());
        let path = state.path(&hash);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[513] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(!state.get(&hash, check).unwrap());
        assert!(!state.has(&hash));
    }

    #[test]
    fn links_in_the_directory_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        std::fs::write(&victim, "mine").unwrap();
        let state = State::open(&directory.path().join("state")).unwrap();
        let link = |path: PathBuf| std::os::unix::fs::symlink(&victim, path).unwrap();
        link(state.part_path("http://h/pack"));
        assert!(state.part("http://h/pack", || ()).is_err());
        state.forget_part("http://h/pack");
        drop(state);
        std::fs::remove_file(directory.path().join("state/lock")).unwrap();
        link(directory.path().join("state/lock"));
        assert!(State::open(&directory.path().join("state")).is_err());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn only_an_exclusive_holder_cleans_up() {
        let directory = tempfile::tempdir().unwrap();
        let first = State::open(directory.path()).unwrap();
        let left = directory.path().join("incoming/1-1");
        std::fs::write(&left, "half").unwrap();
        let second = State::open(directory.path()).unwrap();
        assert!(left.exists());
        drop((first, second));
        State::open(directory.path()).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn partial_downloads_are_locked() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let mut part = state.part("http://h/pack", || ()).unwrap();
        part.file.write_all(b"01234").unwrap();
        let mut text = String::new();
        let mut reader = part.reader().unwrap();
        part.file.write_all(b"567").unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "01234");
        // The reader shares the lock.
        drop(reader);
        std::thread::scope(|scope| {
            let other =
                scope.spawn(|| state.part("http://h/pack", || ()).unwrap().file.metadata().unwrap().len());
            std::thread::sleep(std::time::Duration::from_millis(50));
            part.forget();
            assert_eq!(other.join().unwrap(), 0);
        });
    }
}
