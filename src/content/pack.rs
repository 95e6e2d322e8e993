//! Packs a root tree into one tar file (POSIX.1-2001 with GNU long names), including owners, hard links and extended
//! attributes.

use crate::host::{Context, Failure};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata};
use std::io::{BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

const BUFFER: usize = 1 << 20;

/// Packs a tree with its entries sorted by name and timestamps clamped to `epoch`. Returns the number of bytes written
/// and their BLAKE3 hash.
pub fn pack(tree: &Path, epoch: u64, out: &File) -> Result<(u64, String), Failure> {
    let context = || format!("could not pack the tree `{}`", tree.display());
    let mut hashing = Hashing { out, hasher: blake3::Hasher::new(), written: 0 };
    {
        let mut builder = Builder::new(BufWriter::with_capacity(BUFFER, &mut hashing));
        let mut links = HashMap::new();
        pack_directory(&mut builder, tree, Path::new(""), epoch, &mut links).context(context)?;
        builder.into_inner().and_then(|mut buffer| buffer.flush()).context(context)?;
    }
    Ok((hashing.written, hashing.hasher.finalize().to_hex().to_string()))
}

struct Hashing<'f> {
    out: &'f File,
    hasher: blake3::Hasher,
    written: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

type Links = HashMap<(u64, u64), PathBuf>;

fn pack_directory<W: Write>(
    builder: &mut Builder<W>,
    tree: &Path,
    directory: &Path,
    epoch: u64,
    links: &mut Links,
) -> std::io::Result<()> {
    let mut names: Vec<_> = std::fs::read_dir(tree.join(directory))?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    for name in names {
        let path = directory.join(name);
        let source = tree.join(&path);
        let metadata = source.symlink_metadata()?;
        pack_entry(builder, &source, &path, &metadata, epoch, links)?;
        if metadata.is_dir() {
            pack_directory(builder, tree, &path, epoch, links)?;
        }
    }
    Ok(())
}

fn pack_entry<W: Write>(
    builder: &mut Builder<W>,
    source: &Path,
    path: &Path,
    metadata: &Metadata,
    epoch: u64,
    links: &mut Links,
) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime((metadata.mtime().max(0) as u64).min(epoch));
    header.set_size(0);
    let kind = metadata.file_type();

    if !kind.is_dir() && metadata.nlink() > 1 {
        if let Some(first) = links.get(&(metadata.dev(), metadata.ino())) {
            header.set_entry_type(EntryType::Link);
            return builder.append_link(&mut header, path, first);
        }
        links.insert((metadata.dev(), metadata.ino()), path.to_owned());
    }
    if !kind.is_symlink() {
        let attributes = extended_attributes(source)?;
        if !attributes.is_empty() {
            builder.append_pax_extensions(
                attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice())),
            )?;
        }
    }
    if kind.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        builder.append_data(&mut header, path, File::open(source)?)
    } else if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        builder.append_data(&mut header, path, std::io::empty())
    } else if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        builder.append_link(&mut header, path, std::fs::read_link(source)?)
    } else {
        header.set_entry_type(match () {
            () if kind.is_char_device() => EntryType::Char,
            () if kind.is_block_device() => EntryType::Block,
            () if kind.is_fifo() => EntryType::Fifo,
            // Sockets are skipped: the server that created them is no longer running.
            () => return Ok(()),
        });
        header.set_device_major(rustix::fs::major(metadata.rdev()))?;
        header.set_device_minor(rustix::fs::minor(metadata.rdev()))?;
        builder.append_data(&mut header, path, std::io::empty())
    }
}

/// Prefix of the pax keywords for extended attributes, as used by GNU tar and libarchive.
const XATTR: &str = "SCHILY.xattr.";

fn extended_attributes(path: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let size = match rustix::fs::llistxattr(path, &mut [0u8; 0][..]) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(size) => size,
        Err(error) => return Err(error.into()),
    };
    let mut list = vec![0u8; size];
    let size = rustix::fs::llistxattr(path, &mut list[..])?;
    let mut attributes = Vec::new();
    for name in list[..size].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = CString::new(name).expect("split at NUL");
        let size = rustix::fs::lgetxattr(path, &*name, &mut [0u8; 0][..])?;
        let mut value = vec![0u8; size];
        let size = rustix::fs::lgetxattr(path, &*name, &mut value[..])?;
        value.truncate(size);
        attributes.push((format!("{XATTR}{}", name.to_string_lossy()), value));
    }
    attributes.sort();
    Ok(attributes)
}

/// Unpacks a tree into an empty directory and verifies the hash of the file at the same time. Returns `Ok(false)` on a
/// hash mismatch; the unpacked tree must then be discarded.
pub fn unpack(file: &File, hash: &str, tree: &Path) -> Result<bool, Failure> {
    let context = || format!("could not unpack the tree into `{}`", tree.display());
    std::thread::scope(|scope| {
        let hashing = scope.spawn(|| -> std::io::Result<bool> {
            use std::os::unix::fs::FileExt;
            let mut hasher = blake3::Hasher::new();
            let mut buffer = vec![0; BUFFER];
            let mut at = 0;
            loop {
                match file.read_at(&mut buffer, at)? {
                    0 => return Ok(hasher.finalize().to_hex().as_str() == hash),
                    count => {
                        hasher.update(&buffer[..count]);
                        at += count as u64;
                    }
                }
            }
        });
        let unpacked = unpack_entries(file, tree);
        let good = hashing
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the hashing thread panicked")))
            .context(context)?;
        match unpacked {
            // With a wrong hash, unpacking errors are only a consequence of the damage.
            Err(_) if !good => Ok(false),
            unpacked => unpacked.map(|()| good).context(context),
        }
    })
}

/// Stores its own offset so that several readers can share the file.
struct SharedReader<'f> {
    file: &'f File,
    at: u64,
}

impl Read for SharedReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn unpack_entries(file: &File, tree: &Path) -> std::io::Result<()> {
    let reader = std::io::BufReader::with_capacity(256 << 10, SharedReader { file, at: 0 });
    let mut archive = tar::Archive::new(reader);
    let mut directories: Vec<(PathBuf, u64)> = Vec::new();
    let mut buffer = vec![0; 128 << 10];
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = join_inside(tree, &entry.path_bytes())?;
        let properties = Properties::of(&mut entry)?;
        match entry.header().entry_type() {
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                std::fs::hard_link(join_inside(tree, &target)?, &path)?;
            }
            EntryType::Regular => unpack_file(&mut entry, &path, &properties, &mut buffer)?,
            kind => {
                make_node(&entry, kind, &path, properties.mode)?;
                properties.apply(&path, kind)?;
                if kind == EntryType::Directory {
                    directories.push((path, properties.mtime));
                }
            }
        }
    }
    // Creating entries changes the timestamp of their directory, so directory timestamps are set last.
    for (path, mtime) in directories.iter().rev() {
        rustix::fs::utimensat(CWD, path, &times(*mtime), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

/// Metadata of an entry.
struct Properties {
    mode: Mode,
    owner: (u32, u32),
    /// Seconds since 1970.
    mtime: u64,
    attributes: Vec<(CString, Vec<u8>)>,
}

impl Properties {
    fn of(entry: &mut tar::Entry<'_, impl Read>) -> std::io::Result<Properties> {
        let mut attributes = Vec::new();
        if let Some(extensions) = entry.pax_extensions()? {
            for extension in extensions {
                let extension = extension?;
                if let Some(name) = extension.key_bytes().strip_prefix(XATTR.as_bytes()) {
                    attributes.push((CString::new(name)?, extension.value_bytes().to_vec()));
                }
            }
        }
        let header = entry.header();
        Ok(Properties {
            mode: Mode::from_raw_mode(header.mode()?),
            owner: (header.uid()? as u32, header.gid()? as u32),
            mtime: header.mtime()?,
            attributes,
        })
    }

    /// Returns the owner to set, or `None` for root, which already owns newly created files.
    fn other_owner(&self) -> Option<(Option<Uid>, Option<Gid>)> {
        let (user, group) = self.owner;
        (self.owner != (0, 0)).then(|| (Some(Uid::from_raw(user)), Some(Gid::from_raw(group))))
    }

    fn apply(&self, path: &Path, kind: EntryType) -> std::io::Result<()> {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((user, group)) = self.other_owner() {
            rustix::fs::chownat(CWD, path, user, group, nofollow)?;
        }
        if kind != EntryType::Symlink {
            rustix::fs::chmodat(CWD, path, self.mode, AtFlags::empty())?;
            for (name, value) in &self.attributes {
                rustix::fs::lsetxattr(path, name.as_c_str(), value, XattrFlags::empty())?;
            }
        }
        if kind != EntryType::Directory {
            rustix::fs::utimensat(CWD, path, &times(self.mtime), nofollow)?;
        }
        Ok(())
    }
}

fn unpack_file(
    entry: &mut tar::Entry<'_, impl Read>,
    path: &Path,
    properties: &Properties,
    buffer: &mut [u8],
) -> std::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut out = File::from(rustix::fs::open(path, flags, properties.mode)?);
    loop {
        match entry.read(buffer)? {
            0 => break,
            count => out.write_all(&buffer[..count])?,
        }
    }
    if let Some((user, group)) = properties.other_owner() {
        rustix::fs::fchown(&out, user, group)?;
    }
    // chown clears the set-user-ID bit, and the umask may have removed permission bits.
    rustix::fs::fchmod(&out, properties.mode)?;
    for (name, value) in &properties.attributes {
        rustix::fs::fsetxattr(&out, name.as_c_str(), value, XattrFlags::empty())?;
    }
    rustix::fs::futimens(&out, &times(properties.mtime))?;
    Ok(())
}

fn make_node(
    entry: &tar::Entry<'_, impl Read>,
    kind: EntryType,
    path: &Path,
    mode: Mode,
) -> std::io::Result<()> {
    let kind = match kind {
        EntryType::Directory => return std::fs::create_dir(path),
        EntryType::Symlink => {
            let target = entry.link_name_bytes().unwrap_or_default();
            return std::os::unix::fs::symlink(OsStr::from_bytes(&target), path);
        }
        EntryType::Char => FileType::CharacterDevice,
        EntryType::Block => FileType::BlockDevice,
        EntryType::Fifo => FileType::Fifo,
        other => return Err(std::io::Error::other(format!("unexpected entry of type {other:?}"))),
    };
    let header = entry.header();
    let device = rustix::fs::makedev(
        header.device_major()?.unwrap_or_default(),
        header.device_minor()?.unwrap_or_default(),
    );
    Ok(rustix::fs::mknodat(CWD, path, kind, mode, device)?)
}

fn times(seconds: u64) -> Timestamps {
    let time = Timespec { tv_sec: seconds as i64, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn join_inside(tree: &Path, path: &[u8]) -> std::io::Result<PathBuf> {
    let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
    let plain = path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if plain {
        Ok(tree.join(path))
    } else {
        Err(std::io::Error::other(format!("path `{}` points outside the tree", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn unpacking_restores_a_packed_tree() {
        let from = tempfile::tempdir().unwrap();
        let long = "n".repeat(150);
        std::fs::create_dir_all(from.path().join("a/b")).unwrap();
        std::fs::write(from.path().join("a/b").join(&long), "text").unwrap();
        std::fs::set_permissions(from.path().join("a/b").join(&long), PermissionsExt::from_mode(0o4751))
            .unwrap();
        std::fs::hard_link(from.path().join("a/b").join(&long), from.path().join("z")).unwrap();
        std::os::unix::fs::symlink("/absolute/target", from.path().join("link")).unwrap();
        std::fs::write(from.path().join(OsStr::from_bytes(b"\xff\xfe")), "").unwrap();

        let file = tempfile::tempfile().unwrap();
        let (size, hash) = pack(from.path(), 1000, &file).unwrap();
        assert_eq!(size, file.metadata().unwrap().len());

        let to = tempfile::tempdir().unwrap();
        assert!(unpack(&file, &hash, to.path()).unwrap());
        let at = |name: &str| to.path().join(name).symlink_metadata().unwrap();
        let deep = to.path().join("a/b").join(&long).metadata().unwrap();
        assert_eq!(deep.mode() & 0o7777, 0o4751);
        assert_eq!((deep.ino(), deep.nlink()), (at("z").ino(), 2));
        assert_eq!(deep.mtime(), 1000);
        assert_eq!(at("a").mtime(), 1000);
        assert_eq!(std::fs::read_link(to.path().join("link")).unwrap(), Path::new("/absolute/target"));
        assert!(to.path().join(OsStr::from_bytes(b"\xff\xfe")).exists());

        let again = tempfile::tempfile().unwrap();
        assert_eq!(pack(to.path(), 1000, &again).unwrap(), (size, hash));
    }

    #[test]
    fn unpacking_detects_a_damaged_file() {
        let from = tempfile::tempdir().unwrap();
        std::fs::write(from.path().join("a"), "text").unwrap();
        let file = tempfile::tempfile().unwrap();
        let (_, hash) = pack(from.path(), 1000, &file).unwrap();
        use std::os::unix::fs::FileExt;
        file.write_all_at(b"T", 512).unwrap();
        let to = tempfile::tempdir().unwrap();
        assert!(!unpack(&file, &hash, to.path()).unwrap());
    }
}
