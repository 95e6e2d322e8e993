//! Builds the [`Tree`] for a new filesystem from a directory of the host.

use super::bytes::is_zero;
use super::tree::{Body, Content, Extent, Node, NodeId, Time, Tree};
use rustix::fs::{SeekFrom, seek};
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A directory's tree. A file's extents are ranges of the host's file, whose path is in `paths`.
#[derive(Debug)]
pub struct Scan {
    pub tree: Tree,
    /// Paths on the host, indexed by [`NodeId`].
    pub paths: Vec<PathBuf>,
}

/// A file of the host could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not {tried} `{}`", path.display())]
pub struct ScanError {
    pub path: PathBuf,
    /// The failed operation, as the end of "could not …".
    pub tried: &'static str,
    #[source]
    pub source: io::Error,
}

/// Scans a directory. Entries are visited in the order of their names, so that node numbers do not depend on the host's
/// filesystem.
///
/// Timestamps are limited to `epoch`, in seconds since 1970. Access, change and creation times are set to the
/// modification time, since those of the host are unrelated to the content. Most attributes of the host are left out
/// for the same reason. Every whole block of zeros becomes a hole, whether or not the host stores it.
pub fn scan(directory: &Path, epoch: i64) -> Result<Scan, ScanError> {
    look(directory, epoch, true)
}

/// Same as [`scan`], but does not read file contents: files have no extents.
pub fn survey(directory: &Path, epoch: i64) -> Result<Scan, ScanError> {
    look(directory, epoch, false)
}

fn look(directory: &Path, epoch: i64, reads_files: bool) -> Result<Scan, ScanError> {
    let mut scan = Scan { tree: Tree::default(), paths: Vec::new() };
    let metadata = directory.symlink_metadata().tried("stat", directory)?;
    let mut look = Look { epoch, reads_files, seen: HashMap::new() };
    visit(&mut scan, directory.to_owned(), &metadata, &mut look)?;
    Ok(scan)
}

struct Look {
    epoch: i64,
    reads_files: bool,
    /// Nodes by the host's device and inode number, for files with hard links.
    seen: HashMap<(u64, u64), NodeId>,
}

/// Adds the operation and the path to an I/O error.
trait ScanContext<T> {
    fn tried(self, tried: &'static str, path: &Path) -> Result<T, ScanError>;
}

impl<T, E: Into<io::Error>> ScanContext<T> for Result<T, E> {
    fn tried(self, tried: &'static str, path: &Path) -> Result<T, ScanError> {
        self.map_err(|error| ScanError { path: path.to_owned(), tried, source: error.into() })
    }
}

fn visit(scan: &mut Scan, path: PathBuf, metadata: &Metadata, look: &mut Look) -> Result<NodeId, ScanError> {
    let id = scan.tree.nodes.len();
    if !metadata.is_dir() && metadata.nlink() > 1 {
        if let Some(known) = look.seen.get(&(metadata.dev(), metadata.ino())) {
            scan.tree.nodes[*known].links += 1;
            return Ok(*known);
        }
        look.seen.insert((metadata.dev(), metadata.ino()), id);
    }
    let kind = metadata.file_type();
    let body = if kind.is_dir() {
        Body::Directory(BTreeMap::new())
    } else if kind.is_file() {
        let size = if look.reads_files { metadata.len() } else { 0 };
        Body::File(Content::Extents(extents(&path, size).tried("read", &path)?))
    } else if kind.is_symlink() {
        Body::Link(std::fs::read_link(&path).tried("read the link", &path)?.into_os_string().into_vec())
    } else if kind.is_char_device() || kind.is_block_device() {
        Body::Device { major: rustix::fs::major(metadata.rdev()), minor: rustix::fs::minor(metadata.rdev()) }
    } else {
        Body::Other
    };
    let mut modified = Time { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 };
    if modified >= (Time { seconds: look.epoch, nanoseconds: 0 }) {
        modified = Time { seconds: look.epoch, nanoseconds: 0 };
    }
    scan.tree.nodes.push(Node {
        number: 0,
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        links: if kind.is_dir() { 2 } else { 1 },
        size: if kind.is_file() || kind.is_symlink() { metadata.len() } else { 0 },
        accessed: modified,
        modified,
        changed: modified,
        created: Some(modified),
        attributes: attributes(&path).tried("read the attributes of", &path)?,
        body,
    });
    scan.paths.push(path.clone());
    if kind.is_dir() {
        let names = std::fs::read_dir(&path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>());
        let mut names = names.tried("read the directory", &path)?;
        names.sort();
        for name in names {
            let child = path.join(&name);
            let metadata = child.symlink_metadata().tried("stat", &child)?;
            if metadata.is_dir() {
                scan.tree.nodes[id].links += 1;
            }
            let child = visit(scan, child, &metadata, look)?;
            let Body::Directory(entries) = &mut scan.tree.nodes[id].body else {
                unreachable!("it was created as a directory")
            };
            entries.insert(name.as_bytes().to_vec(), child);
        }
    }
    Ok(id)
}

/// Granularity of holes, in bytes: the usual block size.
const UNIT: u64 = 4096;
/// Read buffer in bytes; a multiple of [`UNIT`].
const PIECE: u64 = 1 << 18;

/// The ranges of a file that contain nonzero bytes, in whole units. The host's holes depend on its filesystem, so they
/// are only used to skip reads.
fn extents(path: &Path, size: u64) -> io::Result<Vec<Extent>> {
    let mut extents: Vec<Extent> = Vec::new();
    if size == 0 {
        return Ok(extents);
    }
    let file = File::open(path)?;
    let mut buffer = vec![0; PIECE.min(size) as usize];
    let mut at = 0;
    while at < size {
        let start = match seek(&file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // There are only holes up to the file's end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(&file, SeekFrom::Hole(start))?.next_multiple_of(UNIT).min(size);
        at = start / UNIT * UNIT;
        while at < end {
            let piece = &mut buffer[..PIECE.min(end - at) as usize];
            file.read_exact_at(piece, at)?;
            for unit in piece.chunks(UNIT as usize) {
                let length = unit.len() as u64;
                if !is_zero(unit) {
                    match extents.last_mut() {
                        Some(last) if last.at + last.length == at => last.length += length,
                        _ => extents.push(Extent { at, from: at, length }),
                    }
                }
                at += length;
            }
        }
    }
    Ok(extents)
}

/// Whether an attribute belongs to the content. Others belong to the host: SELinux labels, IMA signatures, settings of
/// its filesystem.
pub(super) fn is_kept(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 3] =
        [b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default"];
    name.starts_with(b"user.") || KEPT.contains(&name)
}

fn attributes(path: &Path) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut names = vec![0; 4096];
    let length = loop {
        match rustix::fs::llistxattr(path, &mut names) {
            Ok(length) => break length,
            Err(rustix::io::Errno::RANGE) => names.resize(names.len() * 4, 0),
            Err(rustix::io::Errno::NOTSUP) => return Ok(found),
            Err(error) => return Err(error.into()),
        }
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_zeros_become_holes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut bytes = vec![0; 1_000_001];
        for (range, byte) in [(0..1, 1), (8191..8193, 2), (600_000..900_000, 3), (1_000_000..1_000_001, 4)] {
            bytes[range].fill(byte);
        }
        // Zeros that are written, without holes.
        std::fs::write(&path, &bytes).unwrap();
        let written = extents(&path, bytes.len() as u64).unwrap();
        let ranges: Vec<_> = written.iter().map(|extent| extent.at..extent.at + extent.length).collect();
        assert_eq!(ranges, [0..12_288, 598_016..901_120, 999_424..1_000_001]);
        // The same content with the largest possible holes.
        let file = File::create(&path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        for range in [0..1, 8191..8193, 600_000..900_000, 1_000_000..1_000_001] {
            file.write_all_at(&bytes[range.clone()], range.start as u64).unwrap();
        }
        assert_eq!(extents(&path, bytes.len() as u64).unwrap(), written);
        // Bytes that are appended after the size was read are ignored.
        assert_eq!(extents(&path, 5).unwrap(), [Extent { at: 0, from: 0, length: 5 }]);
    }

    #[test]
    fn host_attributes_are_not_copied() {
        for name in ["user.a", "security.capability", "system.posix_acl_default"] {
            assert!(is_kept(name.as_bytes()), "{name}");
        }
        for name in ["", "security.selinux", "security.ima", "btrfs.compression", "trusted.overlay.opaque"] {
            assert!(!is_kept(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn errors_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let error = scan(&directory.path().join("gone"), 0).unwrap_err();
        assert!(error.to_string().ends_with("/gone`"), "{error}");
        assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
    }
}
