//! From a folder of the host to the [`Tree`] that a filesystem is made of.

use super::tree::{Body, Content, Extent, Node, NodeId, Time, Tree};
use rustix::fs::{SeekFrom, seek};
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A folder's tree. Of every file the extents are places in the host's file, whose path is in `paths`.
#[derive(Debug)]
pub struct Scan {
    pub tree: Tree,
    /// By [`NodeId`].
    pub paths: Vec<PathBuf>,
}

/// Reads a folder in the order of names, so that nodes are numbered the same wherever it lies. No time is later than
/// `epoch`, seconds since 1970; access, change and creation times are the modification's, since the host's say
/// nothing about the content.
pub fn scan(folder: &Path, epoch: i64) -> io::Result<Scan> {
    let mut scan = Scan { tree: Tree::default(), paths: Vec::new() };
    let metadata = folder.symlink_metadata()?;
    let mut seen = HashMap::new();
    visit(&mut scan, folder.to_owned(), &metadata, epoch, &mut seen)?;
    Ok(scan)
}

fn visit(
    scan: &mut Scan,
    path: PathBuf,
    metadata: &Metadata,
    epoch: i64,
    seen: &mut HashMap<(u64, u64), NodeId>,
) -> io::Result<NodeId> {
    let id = scan.tree.nodes.len();
    if !metadata.is_dir() && metadata.nlink() > 1 {
        if let Some(known) = seen.get(&(metadata.dev(), metadata.ino())) {
            scan.tree.nodes[*known].links += 1;
            return Ok(*known);
        }
        seen.insert((metadata.dev(), metadata.ino()), id);
    }
    let kind = metadata.file_type();
    let body = if kind.is_dir() {
        Body::Folder(BTreeMap::new())
    } else if kind.is_file() {
        Body::File(Content::Extents(extents(&path, metadata.len())?))
    } else if kind.is_symlink() {
        Body::Link(std::fs::read_link(&path)?.into_os_string().into_vec())
    } else if kind.is_char_device() || kind.is_block_device() {
        Body::Device { major: rustix::fs::major(metadata.rdev()), minor: rustix::fs::minor(metadata.rdev()) }
    } else {
        Body::Other
    };
    let mut modified = Time { seconds: metadata.mtime(), nanoseconds: metadata.mtime_nsec() as u32 };
    if modified >= (Time { seconds: epoch, nanoseconds: 0 }) {
        modified = Time { seconds: epoch, nanoseconds: 0 };
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
        attributes: attributes(&path)?,
        body,
    });
    scan.paths.push(path.clone());
    if kind.is_dir() {
        let mut names: Vec<_> =
            std::fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.sort();
        for name in names {
            let child = path.join(&name);
            let metadata = child.symlink_metadata()?;
            if metadata.is_dir() {
                scan.tree.nodes[id].links += 1;
            }
            let child = visit(scan, child, &metadata, epoch, seen)?;
            let Body::Folder(entries) = &mut scan.tree.nodes[id].body else { unreachable!("it is a folder") };
            entries.insert(name.as_bytes().to_vec(), child);
        }
    }
    Ok(id)
}

/// The ranges of a file that hold data, as the host knows them.
fn extents(path: &Path, size: u64) -> io::Result<Vec<Extent>> {
    let mut extents = Vec::new();
    if size == 0 {
        return Ok(extents);
    }
    let file = File::open(path)?;
    let mut at = 0;
    loop {
        let start = match seek(&file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but hole up to the end.
            Err(rustix::io::Errno::NXIO) => return Ok(extents),
            Err(error) => return Err(error.into()),
        };
        at = seek(&file, SeekFrom::Hole(start))?;
        extents.push(Extent { at: start, from: start, length: at - start });
        if at >= size {
            return Ok(extents);
        }
    }
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
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        found.insert(name.to_vec(), value);
    }
    Ok(found)
}
