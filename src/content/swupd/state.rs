//! The state directory: every object that was fetched, by its hash, for all builds that come after. `-S` names it.
//!
//! | name | what |
//! | --- | --- |
//! | `objects/ab/cdef…` | an object as a tar of one member; checked again whenever it is used |
//! | `parts/…` | what came of a pack whose download broke off |
//! | `incoming/` | what is being written |
//! | `lock` | shared by all who use the directory; who has it alone may tidy up |

use super::hash::{Kind, ObjectHash};
use super::object::{Content, Object, ObjectError, only_member, tar_around};
use crate::host::{Context, Failure};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Small objects are read in one piece.
const WHOLE_FILE: u64 = (1 << 20) + 4096;

pub(super) struct State {
    directory: PathBuf,
    _lock: File,
}

/// What came of a pack before, and the right to add to it.
pub(super) struct Part {
    pub file: File,
    path: PathBuf,
}

impl State {
    /// # Errors
    /// Also where the directory, or what is in it, belongs to somebody else: whoever that is could lead us elsewhere by links.
    pub(super) fn open(directory: &Path) -> Result<State, Failure> {
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        // What lies in directories of ours that others cannot write to is ours.
        for path in [
            directory.clone(),
            directory.join("objects"),
            directory.join("parts"),
            directory.join("incoming"),
        ] {
            std::fs::create_dir_all(&path)
                .context(|| format!("could not create the state directory `{}`", path.display()))?;
            only_we_write(&path)?;
            // The directory itself may be a link of ours.
            if path != directory && !path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(Failure::new(format!(
                    "`{}` of the state directory is no directory",
                    path.display()
                ))
                .help("remove it, or choose another directory with -S"));
            }
        }
        for entry in std::fs::read_dir(directory.join("objects")).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                return Err(Failure::new(format!(
                    "`{}` of the state directory is no directory",
                    entry.path().display()
                ))
                .help("remove it, or choose another directory with -S"));
            }
        }
        let path = directory.join("lock");
        let context = || format!("could not lock `{}`", path.display());
        let lock = plain_file(&path, false).context(context)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // Nobody else is here: what is being written is of builds that were killed.
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

    /// Whether something came of the file that a URL names.
    pub(super) fn has_part(&self, url: &str) -> bool {
        self.part_path(url).symlink_metadata().is_ok_and(|metadata| metadata.len() > 0)
    }

    /// Nobody needs it any more, unless somebody is at it.
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

    /// Keeps an object, if it is what its hash says. The outer error is this host's.
    pub(super) fn put(
        &self,
        hash: &ObjectHash,
        object: &Object,
        data: &mut dyn Read,
    ) -> Result<Result<(), ObjectError>, Failure> {
        let context = || format!("could not keep an object in `{}`", self.directory.display());
        let whole = match object.take(hash, data) {
            Ok(Content::Whole(content)) => content,
            Ok(Content::Stream(data)) => return self.put_stream(hash, object, data),
            Err(error) => return Ok(Err(error)),
        };
        let content = if object.attributes.kind == Kind::File { &whole[..] } else { &[] };
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
        let context = || format!("could not keep an object in `{}`", self.directory.display());
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

    /// Gives a file its name when it is written.
    fn place(&self, hash: &ObjectHash, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        // Its name is random: builds in namespaces of their own have the same process ids.
        let mut incoming =
            tempfile::Builder::new().prefix("").tempfile_in(self.directory.join("incoming"))?;
        write(incoming.as_file_mut())?;
        let path = self.path(hash);
        match incoming.persist(&path) {
            Ok(_) => Ok(()),
            Err(failed) if failed.error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(path.parent().expect("an object lies in a directory"))?;
                failed.file.persist(&path).map(|_| ()).map_err(|failed| failed.error)
            }
            Err(failed) => Err(failed.error),
        }
    }

    /// Gives an object that is there to `visit`. What turns out to be another one is forgotten, as if it had not been
    /// there: `Ok(false)`.
    pub(super) fn get(
        &self,
        hash: &ObjectHash,
        visit: impl FnMut(Object, &mut dyn Read) -> Result<(), ObjectError>,
    ) -> io::Result<bool> {
        let path = self.path(hash);
        let mut file = match File::options().read(true).custom_flags(NO_LINK).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            // A link in its place.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                std::fs::remove_file(&path)?;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            let why = format!("`{}` of the state directory is a directory: remove it", path.display());
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

    /// What is there of the file that a URL names. Waits (after `waiting`) while another build fetches it.
    pub(super) fn part(&self, url: &str, waiting: impl Fn()) -> Result<Part, Failure> {
        let path = self.part_path(url);
        let context = || format!("could not lock `{}`", path.display());
        loop {
            let file = plain_file(&path, true).context(context)?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                waiting();
                flock(&file, FlockOperation::LockExclusive).context(context)?;
            }
            // Whoever had it may have removed it when it was done.
            let same = std::fs::metadata(&path)
                .is_ok_and(|now| file.metadata().is_ok_and(|ours| now.ino() == ours.ino()));
            if same {
                return Ok(Part { file, path });
            }
        }
    }
}

/// Links are not followed, pipes not waited for.
const NO_LINK: i32 = (OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits()) as i32;

/// Opens or makes a plain file of ours, for writing behind its end if it is read too.
fn plain_file(path: &Path, read: bool) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).custom_flags(NO_LINK);
    let file = if read { options.read(true).append(true) } else { options.write(true) }.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
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
        .help("free some space (`ister cache prune` empties the cache), or choose another directory with -S")
}

/// What others own, or may write to, they could exchange while we work.
fn only_we_write(path: &Path) -> Result<(), Failure> {
    let context = || format!("could not use the state directory `{}`", path.display());
    let metadata = path.metadata().context(context)?;
    let owner = metadata.uid();
    if metadata.mode() & 0o002 != 0 {
        return Err(Failure::new(context())
            .detail(format!(
                "its mode is {:04o}: whoever writes into it could lead us elsewhere",
                metadata.mode() & 0o7777
            ))
            .help("take that right away (chmod o-w), or choose another directory with -S"));
    }
    if ![0, rustix::process::geteuid().as_raw()].contains(&owner) {
        return Err(Failure::new(context())
            .detail(format!("it belongs to uid {owner}, who could lead us elsewhere"))
            .help("choose a directory of your own with -S"));
    }
    Ok(())
}

/// Empties a state directory, unless somebody uses it. Gives the bytes that were freed.
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

impl Part {
    /// What is there, from the start.
    pub(super) fn reader(&self) -> io::Result<impl Read + Send + 'static> {
        let file = self.file.try_clone()?;
        let length = file.metadata()?.len();
        Ok(At { file, at: 0 }.take(length))
    }

    /// It is done with, or good for nothing.
    pub(super) fn forget(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads at an offset of its own: the handle's goes with what is appended.
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
            Attributes { kind: Kind::File, mode: 0o600, uid: 1, gid: 2, size: content.len() as u64 };
        (object_hash(&attributes, content), Object { attributes, mtime: 5, target: Vec::new() })
    }

    #[test]
    fn what_is_kept_is_what_its_hash_says() {
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
    fn what_was_damaged_is_forgotten_and_a_full_target_forgets_nothing() {
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
    fn links_in_the_directory_lead_nowhere() {
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
    fn who_is_alone_tidies_up_and_who_is_not_does_not() {
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
    fn a_part_is_added_to_by_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let mut part = state.part("http://h/pack", || ()).unwrap();
        part.file.write_all(b"01234").unwrap();
        let mut text = String::new();
        let mut reader = part.reader().unwrap();
        part.file.write_all(b"567").unwrap();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "01234");
        // It is a handle of the same lock.
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
