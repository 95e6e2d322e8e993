//! From the state directory to a tree. What is there already must be what the release has; nothing is written through a link.

use super::client::{Client, not_as_expected};
use super::closure::Loaded;
use super::hash::{Attributes, Kind, ObjectHash, ObjectHasher};
use super::manifest::shown;
use super::merge::{Node, parent};
use super::object::{Content, Object, ObjectError};
use super::parallel::parallel;
use super::state::State;
use crate::host::{Context, Failure};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Timespec, Timestamps,
    Uid, flock,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where an installed system remembers what was asked for, and what its client expects to find. Source: swupd-client.
pub(super) const TRACKING: &str = "/var/lib/swupd/bundles";
const OF_THE_CLIENT: [&str; 4] =
    ["/var/lib/swupd", TRACKING, "/var/lib/swupd/telemetry", "/var/lib/swupd/3rd-party"];

/// A tree that is written to, whatever links it has.
pub(super) struct Target {
    root: OwnedFd,
    path: PathBuf,
}

/// A directory of the target that was opened last: most files lie beside the one before.
#[derive(Default)]
struct Opened<'m>(Option<(&'m [u8], OwnedFd)>);

impl Target {
    /// An existing directory.
    pub(super) fn open(path: &Path) -> Result<Target, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .context(|| format!("could not open the directory `{}`", path.display()))?;
        Ok(Target { root, path: path.to_owned() })
    }

    /// Nobody else installs into it as long as this is kept.
    pub(super) fn lock(&self) -> Result<OwnedFd, Failure> {
        let context = || format!("could not lock the directory `{}`", self.path.display());
        let directory = open_directory(self.root.as_fd(), OsStr::new(".")).context(context)?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(directory),
            Err(Errno::WOULDBLOCK) => {
                Err(Failure::new(format!("another installation writes into `{}`", self.path.display()))
                    .help("wait for its end, or install into another directory"))
            }
            // A file system without locks.
            Err(Errno::OPNOTSUPP | Errno::NOLCK) => Ok(directory),
            Err(error) => Err(error).context(context),
        }
    }

    fn shown(&self, path: &[u8]) -> String {
        format!("{}{}", self.path.display(), shown(path))
    }

    /// A directory below the root, on a way without links.
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

    /// A small file's text. A link is not followed, a pipe not waited for.
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

    /// The names in a directory, on a way without links.
    pub(super) fn names(&self, path: &[u8]) -> rustix::io::Result<Vec<Vec<u8>>> {
        let directory = self.directory(path)?;
        let entries = rustix::fs::Dir::new(open_directory(directory.as_fd(), OsStr::new("."))?)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_bytes().to_vec()));
        names.filter(|name| name.as_ref().map_or(true, |name| name != b"." && name != b"..")).collect()
    }

    /// What a path holds, if there is something: its hash.
    pub(super) fn hash_of(&self, path: &[u8]) -> io::Result<Option<(Attributes, ObjectHash)>> {
        let directory = match self.directory(parent(path)) {
            Ok(directory) => directory,
            // The last: a directory has become a link.
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
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        _ => {
            return Ok(Some((
                Attributes { kind: Kind::File, mode: 0, uid: 0, gid: 0, size: 0 },
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
        Kind::Directory => (),
        Kind::Link => hasher.update(rustix::fs::readlinkat(directory, name, Vec::new())?.as_bytes()),
        Kind::File => {
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

/// What upstream's client leaves on a system besides the content.
pub(super) struct Tracking<'t> {
    /// The bundles that were asked for.
    pub bundles: &'t [String],
    /// When the release was made, seconds since 1970: what is made here gets its time.
    pub time: u64,
}

impl Client<'_> {
    /// Writes the tree: directories that only we can enter, then everything else on all cores, then what directories are to be.
    /// Files that are the same object become names of one file, as upstream's client has it. Each gets its name when it is
    /// whole, so what a killed installation left is gone on with.
    pub(super) fn install(
        &self,
        state: &State,
        bundles: &[Loaded],
        nodes: &[Node],
        target: &Target,
        tracking: &Tracking,
    ) -> Result<(), Failure> {
        let place = Placing { client: self, state, bundles, target };
        let directories: Vec<(&Node, Object)> = place.directories(nodes)?;
        let mut others: Vec<&Node> = nodes.iter().filter(|node| node.kind != Kind::Directory).collect();
        // Names of one object follow each other, and within an object the order is that of the names.
        others.sort_by_key(|node| (node.kind == Kind::Link, node.hash, node.path));
        let one_object = |a: &&Node, b: &&Node| a.kind == Kind::File && a.hash == b.hash;
        let mut groups: Vec<&[&Node]> = others.chunk_by(one_object).collect();
        // In the order of the first names: neighbours are written one after the other.
        groups.sort_by_key(|group| group[0].path);
        let batches: Vec<&[&[&Node]]> = groups.chunks(64).collect();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        parallel(batches.len(), cores, |index| {
            let mut opened = Opened::default();
            batches[index].iter().try_for_each(|group| place.group(&mut opened, group))
        })?;
        track(target, tracking)?;
        // From the innermost outwards: nobody else can enter before all is done.
        for (node, object) in directories.iter().rev() {
            place.finish_directory(node, object)?;
        }
        Ok(())
    }
}

fn track(target: &Target, tracking: &Tracking) -> Result<(), Failure> {
    let context = |path: &str| {
        let place = target.shown(path.as_bytes());
        move || format!("could not create `{place}`")
    };
    let mut made = Vec::new();
    for path in ["/var", "/var/lib"].into_iter().chain(OF_THE_CLIENT) {
        let directory = target.directory(parent(path.as_bytes())).context(context(path))?;
        match rustix::fs::mkdirat(&directory, name(path.as_bytes()), UNFINISHED) {
            Ok(()) => made.push(path),
            // Of an installation that was killed.
            Err(Errno::EXIST) if is_unfinished(directory.as_fd(), name(path.as_bytes())) => made.push(path),
            Err(Errno::EXIST) => (),
            Err(error) => return Err(error).context(context(path)),
        }
    }
    let directory = target.directory(TRACKING.as_bytes()).context(context(TRACKING))?;
    for bundle in tracking.bundles {
        // A pipe is not waited for.
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
    target: &'c Target,
}

impl Placing<'_, '_> {
    fn directories<'n, 'm>(&self, nodes: &'n [Node<'m>]) -> Result<Vec<(&'n Node<'m>, Object)>, Failure> {
        let mut opened = Opened::default();
        let mut directories = Vec::new();
        for node in nodes.iter().filter(|node| node.kind == Kind::Directory) {
            let mut made = None;
            self.with_object(node, |object, data| {
                object.take(&node.hash, data)?;
                made = Some(object);
                Ok(())
            })?;
            let object = made.expect("an object was given");
            let within = self.target.parent(&mut opened, node.path)?;
            match rustix::fs::mkdirat(within, name(node.path), UNFINISHED) {
                Ok(()) => (),
                Err(Errno::EXIST) if is_unfinished(within, name(node.path)) => (),
                Err(Errno::EXIST) => self.compare(within, node)?,
                Err(error) => return Err(error).context(|| self.could_not(node)),
            }
            directories.push((node, object));
        }
        Ok(directories)
    }

    fn finish_directory(&self, node: &Node, object: &Object) -> Result<(), Failure> {
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

    fn could_not(&self, node: &Node) -> String {
        let bundle = &self.bundles[node.bundle].line.name;
        format!("could not install `{}` of bundle `{bundle}`", self.target.shown(node.path))
    }

    /// All names of one object.
    fn group<'m>(&self, opened: &mut Opened<'m>, group: &[&Node<'m>]) -> Result<(), Failure> {
        let mut first: Option<&Node> = None;
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
                    // It has as many names as a file may have, or the directory is on another file system, or that knows no
                    // such names: what follows is of another file.
                    Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::OPNOTSUPP) => (),
                    Err(error) => return Err(error).context(|| self.could_not(node)),
                }
            }
            self.write(directory, node)?;
            first = Some(node);
        }
        Ok(())
    }

    /// What is there has to be what would be written.
    fn compare(&self, directory: BorrowedFd, node: &Node) -> Result<(), Failure> {
        let there = hash_at(directory, name(node.path)).context(|| self.could_not(node))?;
        match there {
            Some((_, found)) if found == node.hash => Ok(()),
            found => {
                let found = found.map_or(ObjectHash::NONE, |(_, hash)| hash);
                let failure = not_as_expected(self.could_not(node), &node.hash, &found);
                Err(failure
                    .detail("something else is there already")
                    .help("remove it, or install into an empty directory"))
            }
        }
    }

    /// Gives an object to `visit`, checked or to be checked; one that was damaged in the state directory comes again.
    fn with_object(
        &self,
        node: &Node,
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
                    .detail(format!(
                        "the manifest says that it is {}, its object is something else",
                        said(node.kind)
                    ))
                    .detail(format!("hash: {}", node.hash)));
            }
            if attempt == 0 {
                self.client.file(self.state, self.bundles, node)?;
            }
        }
        Err(Failure::new(self.could_not(node))
            .detail(format!(
                "the state directory `{}` does not keep what is written into it",
                self.state.directory().display()
            ))
            .help("its disk may be failing; choose another directory with -S"))
    }

    /// Under a name of its own until it is whole.
    fn write(&self, directory: BorrowedFd, node: &Node) -> Result<(), Failure> {
        let draft = temporary_name(node.path);
        let written = self.with_object(node, |object, data| {
            // Of an installation that was killed.
            match rustix::fs::unlinkat(directory, &draft, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => (),
                Err(error) => return Err(ObjectError::Write(error.into())),
            }
            match object.take(&node.hash, data)? {
                Content::Whole(content) => write_whole(directory, &draft, &object, &content),
                Content::Stream(data) => write_stream(directory, &draft, node, &object, data),
            }
        });
        let named = written.and_then(|()| {
            let flags = RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(directory, &draft, directory, name(node.path), flags) {
                // Not every file system can promise that.
                Err(Errno::INVAL) => rustix::fs::renameat(directory, &draft, directory, name(node.path)),
                renamed => renamed,
            }
            .context(|| self.could_not(node))
        });
        if named.is_err() {
            let _ = rustix::fs::unlinkat(directory, &draft, AtFlags::empty());
        }
        named
    }
}

fn write_whole(
    directory: BorrowedFd,
    draft: &str,
    object: &Object,
    content: &[u8],
) -> Result<(), ObjectError> {
    let write = || -> io::Result<()> {
        if object.attributes.kind != Kind::Link {
            let mut file = new_file(directory, draft)?;
            file.write_all(content)?;
            return finish_file(&file, object);
        }
        let Attributes { uid, gid, .. } = object.attributes;
        rustix::fs::symlinkat(OsStr::from_bytes(content), directory, draft)?;
        let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(directory, draft, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::utimensat(directory, draft, &times(object.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    };
    write().map_err(ObjectError::Write)
}

fn write_stream(
    directory: BorrowedFd,
    draft: &str,
    node: &Node,
    object: &Object,
    data: &mut dyn Read,
) -> Result<(), ObjectError> {
    let mut file = new_file(directory, draft).map_err(ObjectError::Write)?;
    object.stream(&node.hash, data, |bytes| file.write_all(bytes))?;
    finish_file(&file, object).map_err(ObjectError::Write)
}

fn new_file(directory: BorrowedFd, draft: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, draft, flags, Mode::from_raw_mode(0o600))?.into())
}

fn finish_file(file: &File, object: &Object) -> io::Result<()> {
    let Attributes { mode, uid, gid, .. } = object.attributes;
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    // After the owner, which takes setuid away.
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
    rustix::fs::futimens(file, &times(object.mtime))?;
    Ok(())
}

/// The mode of a directory until all is in it: only we can enter. The sticky bit, which changes nothing for us, tells it from a
/// private directory that somebody has.
const UNFINISHED: Mode = Mode::from_raw_mode(0o1700);

/// A directory of an installation that was killed.
fn is_unfinished(within: BorrowedFd, name: &OsStr) -> bool {
    rustix::fs::statat(within, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
        let us = rustix::process::geteuid().as_raw();
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        is_directory && stat.st_mode & 0o7777 == UNFINISHED.as_raw_mode() && stat.st_uid == us
    })
}

/// What a path is called until it is whole: another for each path.
fn temporary_name(path: &[u8]) -> String {
    format!(".ister-{}", &blake3::hash(path).to_hex()[..24])
}

fn about_ids(failure: Failure, uid: u32, gid: u32) -> Failure {
    if uid <= 65_535 && gid <= 65_535 {
        return failure;
    }
    failure.detail(format!("owner: {uid}:{gid}")).help(
        "an ordinary user knows only as many ids as the sub-id range has, usually 0 to 65535: enlarge it, or run ister as root",
    )
}

fn said(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Directory => "a directory",
        Kind::Link => "a link",
    }
}

fn times(seconds: u64) -> Timestamps {
    let time = Timespec { tv_sec: seconds.min(i64::MAX as u64) as i64, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
