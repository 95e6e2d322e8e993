//! Installs from the state directory to a tree. Existing files must match the release, and nothing is written through a
//! link.

use super::client::{Client, not_as_expected};
use super::closure::Loaded;
use super::hash::{Attributes, ObjectHash, ObjectHasher, ObjectKind};
use super::manifest::shown;
use super::merge::{MergedNode, parent};
use super::object::{Object, ObjectContent, ObjectError};
use super::object_file::{times, write_stream, write_whole};
use super::parallel::parallel;
use super::state::State;
use crate::host::{Context, Failure};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Uid, flock,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directory in which an installed system records the requested bundles, and directories expected by its client.
/// Source: swupd-client.
pub(super) const TRACKING: &str = "/var/lib/swupd/bundles";
const CLIENT_DIRECTORIES: [&str; 4] =
    ["/var/lib/swupd", TRACKING, "/var/lib/swupd/telemetry", "/var/lib/swupd/3rd-party"];

/// The target tree; links in it are never followed.
pub(super) struct TargetTree {
    root: OwnedFd,
    path: PathBuf,
}

/// The directory opened last, reused because consecutive files are usually in the same directory.
#[derive(Default)]
struct Opened<'m>(Option<(&'m [u8], OwnedFd)>);

impl TargetTree {
    /// Opens an existing directory.
    pub(super) fn open(path: &Path) -> Result<TargetTree, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .context(|| format!("could not open the directory `{}`", path.display()))?;
        Ok(TargetTree { root, path: path.to_owned() })
    }

    /// Locks the tree against other installations until the returned handle is dropped.
    pub(super) fn lock(&self) -> Result<OwnedFd, Failure> {
        let context = || format!("could not lock the directory `{}`", self.path.display());
        let directory = open_directory(self.root.as_fd(), OsStr::new(".")).context(context)?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(directory),
            Err(Errno::WOULDBLOCK) => {
                Err(Failure::new(format!("another installation is writing to `{}`", self.path.display()))
                    .help("wait until it finishes, or install to another directory"))
            }
            // The filesystem does not support locks.
            Err(Errno::OPNOTSUPP | Errno::NOLCK) => Ok(directory),
            Err(error) => Err(error).context(context),
        }
    }

    fn shown(&self, path: &[u8]) -> String {
        format!("{}{}", self.path.display(), shown(path))
    }

    /// Opens a directory below the root without following links.
    fn directory(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let below = path.strip_prefix(b"/").unwrap_or(path);
        let below = if below.is_empty() { b"." } else { below };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, below, flags, Mode::empty(), resolve)
    }

    fn parent<'o, 'm>(&self, opened: &'o mut Opened<'m>, path: &'m [u8]) -> Result<BorrowedFd<'o>, Failure> {
        let wanted = parent(path);
        if opened.0.as_ref().is_none_or(|(last, _)| *last != wanted) {
            let directory = self
                .directory(wanted)
                .context(|| format!("could not open the directory `{}`", self.shown(wanted)))?;
            opened.0 = Some((wanted, directory));
        }
        Ok(opened.0.as_ref().expect("it was opened").1.as_fd())
    }

    /// Reads a small text file. Links are not followed, and a FIFO does not block.
    pub(super) fn read(&self, path: &[u8]) -> Option<String> {
        const LARGEST: u64 = 1 << 20;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let directory = self.directory(parent(path)).ok()?;
        let file = File::from(rustix::fs::openat(&directory, name(path), flags, Mode::empty()).ok()?);
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Returns the names in a directory without following links.
    pub(super) fn names(&self, path: &[u8]) -> rustix::io::Result<Vec<Vec<u8>>> {
        let directory = self.directory(path)?;
        let entries = rustix::fs::Dir::new(open_directory(directory.as_fd(), OsStr::new("."))?)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_bytes().to_vec()));
        names.filter(|name| name.as_ref().map_or(true, |name| name != b"." && name != b"..")).collect()
    }

    /// Returns attributes and hash of a path, or `None` if it does not exist.
    pub(super) fn hash_of(&self, path: &[u8]) -> io::Result<Option<(Attributes, ObjectHash)>> {
        let directory = match self.directory(parent(path)) {
            Ok(directory) => directory,
            // LOOP: a directory was replaced by a link.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        hash_at(directory.as_fd(), name(path))
    }
}

fn name(path: &[u8]) -> &OsStr {
    OsStr::from_bytes(&path[parent(path).len() + 1..])
}

fn hash_at(directory: BorrowedFd, name: &OsStr) -> io::Result<Option<(Attributes, ObjectHash)>> {
    let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => ObjectKind::File,
        FileType::Directory => ObjectKind::Directory,
        FileType::Symlink => ObjectKind::Link,
        _ => {
            return Ok(Some((
                Attributes { kind: ObjectKind::File, mode: 0, uid: 0, gid: 0, size: 0 },
                ObjectHash::NONE,
            )));
        }
    };
    let attributes = Attributes {
        kind,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: stat.st_size as u64,
    };
    let mut hasher = ObjectHasher::new(&attributes);
    match kind {
        ObjectKind::Directory => (),
        ObjectKind::Link => hasher.update(rustix::fs::readlinkat(directory, name, Vec::new())?.as_bytes()),
        ObjectKind::File => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
            let mut buffer = vec![0; 128 << 10];
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    count => hasher.update(&buffer[..count]),
                }
            }
        }
    }
    Ok(Some((attributes, hasher.finish())))
}

/// Tracking data that upstream's client stores on a system in addition to the content.
pub(super) struct Tracking<'t> {
    /// The requested bundles.
    pub bundles: &'t [String],
    /// Time of the release in seconds since 1970, used as timestamp of tracking files.
    pub time: u64,
}

impl Client<'_> {
    /// Writes the tree: first the directories with access only for the current user, then everything else on all cores,
    /// then the final attributes of the directories. As with upstream's client, files with the same hash become hard
    /// links. Every file is renamed to its final name when it is complete, so an interrupted installation can be
    /// continued.
    pub(super) fn install(
        &self,
        state: &State,
        bundles: &[Loaded],
        nodes: &[MergedNode],
        target: &TargetTree,
        tracking: &Tracking,
    ) -> Result<(), Failure> {
        let place = Placing { client: self, state, bundles, target };
        let directories: Vec<(&MergedNode, Object)> = place.directories(nodes)?;
        let mut others: Vec<&MergedNode> =
            nodes.iter().filter(|node| node.kind != ObjectKind::Directory).collect();
        // Group the names of an object, sorted by name within a group.
        others.sort_by_key(|node| (node.kind == ObjectKind::Link, node.hash, node.path));
        let one_object = |a: &&MergedNode, b: &&MergedNode| a.kind == ObjectKind::File && a.hash == b.hash;
        let mut groups: Vec<&[&MergedNode]> = others.chunk_by(one_object).collect();
        // Sort by first name, so that neighboring files are written in sequence.
        groups.sort_by_key(|group| group[0].path);
        let batches: Vec<&[&[&MergedNode]]> = groups.chunks(64).collect();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        parallel(batches.len(), cores, |index| {
            let mut opened = Opened::default();
            batches[index].iter().try_for_each(|group| place.group(&mut opened, group))
        })?;
        track(target, tracking)?;
        // Innermost first, so that no other user can enter before everything is complete.
        for (node, object) in directories.iter().rev() {
            place.finish_directory(node, object)?;
        }
        Ok(())
    }
}

fn track(target: &TargetTree, tracking: &Tracking) -> Result<(), Failure> {
    let context = |path: &str| {
        let place = target.shown(path.as_bytes());
        move || format!("could not create `{place}`")
    };
    let mut made = Vec::new();
    for path in ["/var", "/var/lib"].into_iter().chain(CLIENT_DIRECTORIES) {
        let directory = target.directory(parent(path.as_bytes())).context(context(path))?;
        match rustix::fs::mkdirat(&directory, name(path.as_bytes()), INCOMPLETE) {
            Ok(()) => made.push(path),
            // Left over from an interrupted installation.
            Err(Errno::EXIST) if is_incomplete(directory.as_fd(), name(path.as_bytes())) => made.push(path),
            Err(Errno::EXIST) => (),
            Err(error) => return Err(error).context(context(path)),
        }
    }
    let directory = target.directory(TRACKING.as_bytes()).context(context(TRACKING))?;
    for bundle in tracking.bundles {
        // Non-blocking, because opening a FIFO could block.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory, bundle.as_str(), flags, Mode::from_raw_mode(0o600));
        let file = File::from(file.context(context(TRACKING))?);
        rustix::fs::futimens(&file, &times(tracking.time)).context(context(TRACKING))?;
    }
    for path in made.into_iter().rev() {
        let within = target.directory(parent(path.as_bytes())).context(context(path))?;
        let opened = open_directory(within.as_fd(), name(path.as_bytes())).context(context(path))?;
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(0o755)).context(context(path))?;
        rustix::fs::futimens(&opened, &times(tracking.time)).context(context(path))?;
    }
    Ok(())
}

fn open_directory(within: BorrowedFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(within, name, flags, Mode::empty())
}

struct Placing<'c, 'p> {
    client: &'c Client<'p>,
    state: &'c State,
    bundles: &'c [Loaded],
    target: &'c TargetTree,
}

impl Placing<'_, '_> {
    fn directories<'n, 'm>(
        &self,
        nodes: &'n [MergedNode<'m>],
    ) -> Result<Vec<(&'n MergedNode<'m>, Object)>, Failure> {
        let mut opened = Opened::default();
        let mut directories = Vec::new();
        for node in nodes.iter().filter(|node| node.kind == ObjectKind::Directory) {
            let mut made = None;
            self.with_object(node, |object, data| {
                object.take(&node.hash, data)?;
                made = Some(object);
                Ok(())
            })?;
            let object = made.expect("visit was called");
            let within = self.target.parent(&mut opened, node.path)?;
            match rustix::fs::mkdirat(within, name(node.path), INCOMPLETE) {
                Ok(()) => (),
                Err(Errno::EXIST) if is_incomplete(within, name(node.path)) => (),
                Err(Errno::EXIST) => self.compare(within, node)?,
                Err(error) => return Err(error).context(|| self.could_not(node)),
            }
            directories.push((node, object));
        }
        Ok(directories)
    }

    fn finish_directory(&self, node: &MergedNode, object: &Object) -> Result<(), Failure> {
        let Attributes { mode, uid, gid, .. } = object.attributes;
        let mut opened = Opened::default();
        let within = self.target.parent(&mut opened, node.path)?;
        let finish = || -> rustix::io::Result<()> {
            let directory = open_directory(within, name(node.path))?;
            rustix::fs::fchown(&directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            rustix::fs::fchmod(&directory, Mode::from_raw_mode(mode))?;
            rustix::fs::futimens(&directory, &times(object.mtime))
        };
        finish().context(|| self.could_not(node)).map_err(|failure| about_ids(failure, uid, gid))
    }

    fn could_not(&self, node: &MergedNode) -> String {
        let bundle = &self.bundles[node.bundle].line.name;
        format!("could not install `{}` of bundle `{bundle}`", self.target.shown(node.path))
    }

    /// Installs all names of an object.
    fn group<'m>(&self, opened: &mut Opened<'m>, group: &[&MergedNode<'m>]) -> Result<(), Failure> {
        let mut first: Option<&MergedNode> = None;
        for node in group {
            let directory = self.target.parent(opened, node.path)?;
            if rustix::fs::statat(directory, name(node.path), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
                self.compare(directory, node)?;
                first = first.or(Some(node));
                continue;
            }
            if let Some(first) = first {
                let mut elsewhere = Opened::default();
                let from = self.target.parent(&mut elsewhere, first.path)?;
                match rustix::fs::linkat(from, name(first.path), directory, name(node.path), AtFlags::empty())
                {
                    Ok(()) => continue,
                    // The link limit is reached, the directory is on another filesystem, or hard links are not
                    // supported: the following names become links to a new file.
                    Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => (),
                    Err(error) => return Err(error).context(|| self.could_not(node)),
                }
            }
            self.write(directory, node)?;
            first = Some(node);
        }
        Ok(())
    }

    /// Checks that an existing entry matches the release.
    fn compare(&self, directory: BorrowedFd, node: &MergedNode) -> Result<(), Failure> {
        let there = hash_at(directory, name(node.path)).context(|| self.could_not(node))?;
        match there {
            Some((_, found)) if found == node.hash => Ok(()),
            found => {
                let found = found.map_or(ObjectHash::NONE, |(_, hash)| hash);
                let failure = not_as_expected(self.could_not(node), &node.hash, &found);
                Err(failure
                    .detail("an entry with different content already exists")
                    .help("remove it, or install to an empty directory"))
            }
        }
    }

    /// Passes an object to `visit`, verified or to be verified. An object that is damaged in the state directory is
    /// fetched again.
    fn with_object(
        &self,
        node: &MergedNode,
        mut visit: impl FnMut(Object, &mut dyn Read) -> Result<(), ObjectError>,
    ) -> Result<(), Failure> {
        let mut of_kind = true;
        for attempt in 0..2 {
            let there = self.state.get(&node.hash, |object, data| {
                of_kind = object.attributes.kind == node.kind;
                if !of_kind {
                    return Ok(());
                }
                visit(object, data)
            });
            if there.context(|| self.could_not(node))? {
                if of_kind {
                    return Ok(());
                }
                return Err(Failure::new(self.could_not(node))
                    .detail(format!("the object is not {} as listed in the manifest", kind_name(node.kind)))
                    .detail(format!("hash: {}", node.hash)));
            }
            if attempt == 0 {
                self.client.file(self.state, self.bundles, node)?;
            }
        }
        Err(Failure::new(self.could_not(node))
            .detail(format!(
                "the state directory `{}` returned damaged data",
                self.state.directory().display()
            ))
            .help("check its disk, or select another directory with -S"))
    }

    /// Writes an object to a temporary file and renames it when it is complete.
    fn write(&self, directory: BorrowedFd, node: &MergedNode) -> Result<(), Failure> {
        let temporary = temporary_name(node.path);
        let written = self.with_object(node, |object, data| {
            // Left over from an interrupted installation.
            match rustix::fs::unlinkat(directory, &temporary, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => (),
                Err(error) => return Err(ObjectError::Write(error.into())),
            }
            match object.take(&node.hash, data)? {
                ObjectContent::Whole(content) => write_whole(directory, &temporary, &object, &content),
                ObjectContent::Stream(data) => write_stream(directory, &temporary, node, &object, data),
            }
        });
        let named = written.and_then(|()| {
            let flags = RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(directory, &temporary, directory, name(node.path), flags) {
                // Not all filesystems support this flag.
                Err(Errno::INVAL) => rustix::fs::renameat(directory, &temporary, directory, name(node.path)),
                renamed => renamed,
            }
            .context(|| self.could_not(node))
        });
        if named.is_err() {
            let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
        }
        named
    }
}

/// Mode of a directory until it is complete: only the current user can enter. The sticky bit, which has no effect for
/// the owner, distinguishes it from an existing private directory.
const INCOMPLETE: Mode = Mode::from_raw_mode(0o1700);

/// Whether a directory is left over from an interrupted installation.
fn is_incomplete(within: BorrowedFd, name: &OsStr) -> bool {
    rustix::fs::statat(within, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        let us = rustix::process::geteuid().as_raw();
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        is_directory && stat.st_mode & 0o7777 == INCOMPLETE.as_raw_mode() && stat.st_uid == us
    })
}

/// Returns the temporary name for a path, which is unique for each path.
fn temporary_name(path: &[u8]) -> String {
    format!(".ister-{}", &blake3::hash(path).to_hex()[..24])
}

fn about_ids(failure: Failure, uid: u32, gid: u32) -> Failure {
    if uid <= 65_535 && gid <= 65_535 {
        return failure;
    }
    failure.detail(format!("owner: {uid}:{gid}")).help(
        "the subordinate ID range of the user, usually 0 to 65535, is too small: enlarge it in /etc/subuid and /etc/subgid, or run ister as root",
    )
}

fn kind_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::File => "a file",
        ObjectKind::Directory => "a directory",
        ObjectKind::Link => "a link",
    }
}
