//! Access to a root tree that cannot escape from it.

use crate::host::{Context, Failure, name_of};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The root directory of an image under construction. Paths are absolute within the tree. Symbolic links, including
/// absolute ones, are resolved relative to the root, as on the installed system (`openat2` with `RESOLVE_IN_ROOT`).
pub struct Tree {
    root: OwnedFd,
    path: PathBuf,
}

impl Tree {
    pub fn open(path: &Path) -> Result<Tree, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .context(|| format!("could not open the root tree `{}`", path.display()))?;
        Ok(Tree { root, path: path.to_owned() })
    }

    /// Returns the path of the root on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn resolve(&self, path: &str, flags: OFlags, mode: u32) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat2(
            &self.root,
            if path == "/" { "." } else { path },
            flags | OFlags::CLOEXEC,
            Mode::from_raw_mode(mode),
            ResolveFlags::IN_ROOT,
        )
    }

    pub fn exists(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH, 0).is_ok()
    }

    pub fn is_directory(&self, path: &str) -> bool {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY, 0).is_ok()
    }

    /// Whether a regular file exists at `path`. Opening a FIFO, for example, could block forever.
    pub fn is_file(&self, path: &str) -> bool {
        self.open_file(path).is_ok_and(|file| file.is_some())
    }

    /// Opens a regular file for reading. Returns `None` if the path does not exist, and an error if it is not a regular
    /// file.
    pub fn open_file(&self, path: &str) -> Result<Option<File>, Failure> {
        let context = || format!("could not read the image's `{path}`");
        let fd = match self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK, 0) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error).context(context),
        };
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd).context(context)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(Failure::new(context())
                .detail(format!("not a regular file: {kind:?}"))
                .help("check which package or hook creates it"));
        }
        Ok(Some(File::from(fd)))
    }

    /// Reads a text file. Returns `None` if it does not exist. Invalid UTF-8 is an error, because the bytes would be
    /// lost when the file is written back.
    pub fn read(&self, path: &str) -> Result<Option<String>, Failure> {
        let Some(bytes) = self.read_bytes(path)? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|error| {
            Failure::new(format!("could not read the image's `{path}`: invalid UTF-8"))
                .detail(error.utf8_error().to_string())
                .help("check which package or hook writes it")
        })
    }

    pub fn read_bytes(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let Some(mut file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context(|| format!("could not read the image's `{path}`"))?;
        Ok(Some(bytes))
    }

    /// Writes a file owned by root with the given mode and creates its parent directories. An existing file or link is
    /// replaced, so that nothing is written through a link.
    pub fn write(&self, path: &str, text: &str, mode: u32) -> Result<(), Failure> {
        self.write_bytes(path, text.as_bytes(), mode)
    }

    /// Like [`write`](Tree::write), for binary data.
    pub fn write_bytes(&self, path: &str, bytes: &[u8], mode: u32) -> Result<(), Failure> {
        let context = || format!("could not write the image's `{path}`");
        let (parent, name) = self.parent(path)?;
        let _ = rustix::fs::unlinkat(&parent, &name, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(mode)).context(context)?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode)).context(context)?;
        File::from(fd).write_all(bytes).context(context)
    }

    /// Appends bytes to a file, aligned to a multiple of 4 bytes from its start.
    pub fn append(&self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let context = || format!("could not change the image's `{path}`");
        let mut file = File::from(self.resolve(path, OFlags::RDWR | OFlags::APPEND, 0).context(context)?);
        let length = file.metadata().context(context)?.len();
        file.write_all(&vec![0; (length.next_multiple_of(4) - length) as usize]).context(context)?;
        file.write_all(bytes).context(context)
    }

    /// Changes the text of a file and preserves its attributes.
    pub fn edit(&self, path: &str, change: impl FnOnce(String) -> String) -> Result<(), Failure> {
        let before = self.read(path)?.unwrap_or_default();
        let after = change(before.clone());
        if after == before {
            return Ok(());
        }
        let context = || format!("could not change the image's `{path}`");
        let (parent, name) = self.parent(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(0o644)).context(context)?;
        File::from(fd).write_all(after.as_bytes()).context(context)
    }

    pub fn symlink(&self, path: &str, target: &str) -> Result<(), Failure> {
        let (parent, name) = self.parent(path)?;
        let _ = rustix::fs::unlinkat(&parent, &name, AtFlags::empty());
        rustix::fs::symlinkat(target, &parent, &name)
            .context(|| format!("could not create the image's link `{path}`"))
    }

    /// Creates a directory and its parents.
    pub fn make_directory(&self, path: &str) -> Result<OwnedFd, Failure> {
        let context = || format!("could not create the image's directory `{path}`");
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut at = self.resolve("/", flags, 0).context(context)?;
        let mut done = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            done.push('/');
            done.push_str(part);
            at = match self.resolve(&done, flags, 0) {
                Err(rustix::io::Errno::NOENT) => {
                    rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755)).context(context)?;
                    self.resolve(&done, flags, 0)
                }
                result => result,
            }
            .context(context)?;
        }
        Ok(at)
    }

    /// Removes a file or link if it exists.
    pub fn remove(&self, path: &str) -> Result<(), Failure> {
        if !self.exists(&path[..path.rfind('/').unwrap_or(0)]) && path.rfind('/') != Some(0) {
            return Ok(());
        }
        let (parent, name) = self.parent(path)?;
        match rustix::fs::unlinkat(&parent, &name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error).context(|| format!("could not remove the image's `{path}`")),
        }
    }

    /// Returns the sorted names in a directory; empty if it does not exist.
    pub fn list(&self, path: &str) -> Vec<String> {
        let Ok(fd) = self.resolve(path, OFlags::RDONLY | OFlags::DIRECTORY, 0) else { return Vec::new() };
        let Ok(dir) = rustix::fs::Dir::read_from(fd) else { return Vec::new() };
        let mut names: Vec<String> = dir
            .flatten()
            .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
            .filter(|name| name != "." && name != "..")
            .collect();
        names.sort();
        names
    }

    /// Removes everything in a directory, but not the directory itself.
    pub fn empty_directory(&self, path: &str) -> Result<(), Failure> {
        let context = || format!("could not empty the image's `{path}`");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let Ok(fd) = self.resolve(path, flags, 0) else { return Ok(()) };
        // Accessed through the open directory, so that links above it cannot redirect the removal.
        let directory = PathBuf::from(name_of(fd.as_raw_fd()));
        for entry in std::fs::read_dir(&directory).context(context)? {
            let entry = entry.context(context)?;
            let kind = entry.file_type().context(context)?;
            if kind.is_dir() {
                std::fs::remove_dir_all(entry.path()).context(context)?;
            } else {
                std::fs::remove_file(entry.path()).context(context)?;
            }
        }
        Ok(())
    }

    /// Moves a directory out of the tree to a new path on the same host filesystem and replaces it with an empty
    /// directory with the same mode. The directory is created if it does not exist. It must not be a link; its parents
    /// may be links.
    pub fn take_directory(&self, path: &str, to: &Path) -> Result<(), Failure> {
        let context = || format!("could not move the content of `{path}` out of the tree");
        let (parent, name) = self.parent(path)?;
        match rustix::fs::mkdirat(&parent, &name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).context(context),
        }
        let before = rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).context(context)?;
        if rustix::fs::FileType::from_raw_mode(before.st_mode) != rustix::fs::FileType::Directory {
            return Err(Failure::new(format!("the mount point `{path}` is not a directory in the content"))
                .of_template()
                .help("correct `mount` in PartitionMountPoints"));
        }
        rustix::fs::renameat(&parent, &name, rustix::fs::CWD, to).context(context)?;
        let mode = Mode::from_raw_mode(before.st_mode & 0o7777);
        rustix::fs::mkdirat(&parent, &name, mode).context(context)?;
        rustix::fs::chmodat(&parent, &name, mode, AtFlags::empty()).context(context)
    }

    /// Removes a directory if it exists and is empty.
    pub fn remove_empty_directory(&self, path: &str) {
        if let Ok((parent, name)) = self.parent(path) {
            let _ = rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR);
        }
    }

    /// Moves a file or directory within the tree and creates the parents of its new path.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        let (old, old_name) = self.parent(from)?;
        let (new, new_name) = self.parent(to)?;
        rustix::fs::renameat(&old, &old_name, &new, &new_name)
            .context(|| format!("could not move the image's `{from}` to `{to}`"))
    }

    /// Copies a file within the tree, including its mode. An existing destination is replaced.
    pub fn copy(&self, from: &str, to: &str) -> Result<(), Failure> {
        let context = || format!("could not copy the image's `{from}` to `{to}`");
        let mut source =
            self.open_file(from)?.ok_or_else(|| Failure::new(context()).detail("no such file"))?;
        let mode = rustix::fs::fstat(&source).context(context)?.st_mode & 0o7777;
        let (parent, name) = self.parent(to)?;
        let _ = rustix::fs::unlinkat(&parent, &name, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut target = File::from(
            rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(mode)).context(context)?,
        );
        std::io::copy(&mut source, &mut target).context(context)?;
        rustix::fs::fchmod(&target, Mode::from_raw_mode(mode)).context(context)
    }

    /// Writes everything read from `from` to a new file. An existing file is replaced.
    pub fn copy_in(&self, from: &mut impl std::io::Read, to: &str, mode: u32) -> Result<(), Failure> {
        let context = || format!("could not write the image's `{to}`");
        let (parent, name) = self.parent(to)?;
        let _ = rustix::fs::unlinkat(&parent, &name, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        let mut file = File::from(rustix::fs::openat(&parent, &name, flags, mode).context(context)?);
        std::io::copy(from, &mut file).context(context)?;
        rustix::fs::fchmod(&file, mode).context(context)
    }

    /// Changes the owner of a path and of everything below it.
    pub fn own(&self, path: &str, uid: u32, gid: u32) -> Result<(), Failure> {
        self.own_where(path, None, uid, gid)
    }

    /// Changes the owner of everything at and below a path that belongs to the user `before`.
    pub fn own_from(&self, path: &str, before: u32, uid: u32, gid: u32) -> Result<(), Failure> {
        self.own_where(path, Some(before), uid, gid)
    }

    fn own_where(&self, path: &str, before: Option<u32>, uid: u32, gid: u32) -> Result<(), Failure> {
        let fd = self
            .resolve(path, OFlags::PATH | OFlags::NOFOLLOW, 0)
            .context(|| format!("could not find the image's `{path}`"))?;
        own_below(fd.as_fd(), before, uid, gid)
            .context(|| format!("could not change the owner of the image's `{path}` to uid {uid}"))
    }

    pub fn set_mode(&self, path: &str, mode: u32) -> Result<(), Failure> {
        let context = || format!("could not set the mode of the image's `{path}`");
        let fd = self.resolve(path, OFlags::RDONLY, 0).context(context)?;
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode)).context(context)
    }

    fn parent(&self, path: &str) -> Result<(OwnedFd, String), Failure> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.make_directory(directory)?, name.to_owned()))
    }
}

/// If `before` is set, changes only files of that user.
fn own_below(at: std::os::fd::BorrowedFd, before: Option<u32>, uid: u32, gid: u32) -> rustix::io::Result<()> {
    use rustix::fs::{Gid, Uid};
    let stat = rustix::fs::fstat(at)?;
    if before.is_none_or(|before| before == stat.st_uid) {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(at, "", owner.0, owner.1, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Ok(());
    }
    let directory =
        rustix::fs::openat(at, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let child = rustix::fs::openat(&directory, entry.file_name(), flags, Mode::empty())?;
        own_below(child.as_fd(), before, uid, gid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_links_are_resolved_in_the_tree() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        tree.symlink("/etc", "/usr/etc").unwrap();
        tree.make_directory("/usr/etc").unwrap();
        tree.write("/etc/hostname", "x\n", 0o600).unwrap();
        assert_eq!(std::fs::read_to_string(directory.path().join("usr/etc/hostname")).unwrap(), "x\n");
        assert_eq!(tree.read("/etc/hostname").unwrap().as_deref(), Some("x\n"));
        assert_eq!(tree.read("/etc/../../../etc/passwd").unwrap(), None);
    }

    #[test]
    fn opening_a_fifo_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(directory.path().join("pipe")).status().unwrap();
        assert!(made.success());
        assert!(!tree.is_file("/pipe") && tree.exists("/pipe"));
        assert!(tree.read("/pipe").unwrap_err().details[0].contains("not a regular file"));
        assert!(tree.copy("/pipe", "/other").is_err());
        std::fs::write(directory.path().join("odd"), b"\xff").unwrap();
        assert!(tree.read("/odd").unwrap_err().message.ends_with("invalid UTF-8"));
    }

    #[test]
    fn writing_replaces_links() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(directory.path()).unwrap();
        tree.write("/target", "old", 0o644).unwrap();
        tree.symlink("/link", "target").unwrap();
        tree.write("/link", "new", 0o644).unwrap();
        assert_eq!(tree.read("/target").unwrap().as_deref(), Some("old"));
        assert_eq!(tree.read("/link").unwrap().as_deref(), Some("new"));
        tree.remove("/link").unwrap();
        tree.remove("/no/such/file").unwrap();
        assert_eq!(tree.list("/"), ["target"]);
    }
}
