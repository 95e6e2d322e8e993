//! Packed filesystems: squashfs and erofs. Their files are compressed, so an [`Extent`] cannot refer to their bytes.
//! Contents are unpacked into an unnamed file and read from there.

mod erofs;
mod squashfs;
#[cfg(test)]
mod tests;

use super::is_zero;
use super::source::{ReadError, Source};
use super::tree::{Body, Content, Extent, Node, NodeId, PATH_MAX, ROOT, Time, Tree, mode};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Limit for the size of all files together, in bytes. A few hundred bytes of image can claim more than any disk holds.
const MOST_BYTES: u64 = 32 << 30;
/// Limit for the number of files and directories.
const MOST_NODES: usize = 1 << 20;
/// Bytes of the reader's stack for each directory level: both readers are recursive.
const STACK: usize = 4 << 10;
const LEAST_STACK: usize = 8 << 20;
const BUFFER: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    Squashfs,
    Erofs,
}

/// The contents; extents refer to bytes of `file`.
pub struct Unpacked {
    pub tree: Tree,
    pub file: File,
    pub uuid: Option<String>,
    pub label: Option<String>,
}

/// Unpacks a whole filesystem into an unnamed file in `scratch`.
///
/// # Errors
/// The filesystem is damaged, uses features that the readers do not support, or has more than 32 GiB of files or 1 Mi
/// nodes; or `scratch` is full.
pub fn unpack(kind: Packed, source: &dyn Source, scratch: &Path) -> Result<Unpacked, ReadError> {
    let file = tempfile::tempfile_in(scratch).map_err(|error| ReadError::Unpack { error })?;
    let mut builder = PathTreeBuilder { tree: Tree::default(), paths: BTreeMap::new(), file, end: 0 };
    // The input is untrusted: a panic in a reader must not end the whole verification, and the deepest possible
    // directories must not overflow the reader's stack.
    let nodes = match kind {
        Packed::Squashfs => squashfs::nodes(source)?,
        Packed::Erofs => PATH_MAX,
    };
    if nodes > MOST_NODES {
        return Err(ReadError::Unsupported(format!("more than {MOST_NODES} files and directories")));
    }
    let read = std::thread::scope(|scope| {
        let builder = &mut builder;
        let reader = std::thread::Builder::new().stack_size(LEAST_STACK + nodes * STACK);
        let thread = reader.spawn_scoped(scope, move || match kind {
            Packed::Squashfs => squashfs::read(source, builder).map(|()| (None, None)),
            Packed::Erofs => erofs::read(source, builder),
        });
        let panicked = |_| Err(damaged(kind, "the reader failed on invalid structures"));
        thread.map_err(|error| ReadError::Unpack { error })?.join().unwrap_or_else(panicked)
    });
    let (uuid, label) = read?;
    builder.tree.check_depth()?;
    Ok(Unpacked { tree: builder.tree, file: builder.file, uuid, label })
}

fn damaged(kind: Packed, problem: impl ToString) -> ReadError {
    let structure = match kind {
        Packed::Squashfs => "squashfs",
        Packed::Erofs => "erofs",
    };
    ReadError::Damaged { structure: structure.to_owned(), at: 0, problem: problem.to_string() }
}

/// Builds a tree from paths, and a file with the contents of all files.
struct PathTreeBuilder {
    tree: Tree,
    paths: BTreeMap<Vec<u8>, NodeId>,
    file: File,
    /// Offset for the next file's bytes.
    end: u64,
}

/// Attributes common to all types of nodes. `mode` excludes the type bits.
struct Attributes {
    number: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Time,
    extended: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl PathTreeBuilder {
    /// Adds a node. Directories must come before their contents; the first one is the root.
    fn add(&mut self, path: &[u8], attributes: Attributes, size: u64, body: Body) -> Result<NodeId, String> {
        let id = self.tree.nodes.len();
        if id >= MOST_NODES {
            return Err(format!("more than {MOST_NODES} files and directories"));
        }
        let kind = match body {
            Body::Directory(_) => mode::DIRECTORY,
            Body::File(_) => mode::FILE,
            Body::Link(_) => mode::LINK,
            Body::Device { .. } => mode::CHR,
            Body::Other => mode::FIFO,
        };
        let time = attributes.modified;
        let is_directory = matches!(body, Body::Directory(_));
        self.tree.nodes.push(Node {
            number: attributes.number,
            mode: kind | attributes.mode & 0o7777,
            uid: attributes.uid,
            gid: attributes.gid,
            links: if is_directory { 2 } else { 1 },
            size,
            accessed: time,
            modified: time,
            changed: time,
            created: None,
            attributes: attributes.extended,
            body,
        });
        self.name(path, id)?;
        Ok(id)
    }

    /// Adds another name of a node.
    fn name(&mut self, path: &[u8], id: NodeId) -> Result<(), String> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        if path == b"/" || path.is_empty() {
            return if id == ROOT { Ok(()) } else { Err("a second root directory".to_owned()) };
        }
        if path.len() >= PATH_MAX {
            return Err(format!("path of {} bytes", path.len()));
        }
        let split = path
            .iter()
            .rposition(|byte| *byte == b'/')
            .ok_or_else(|| format!("invalid path `{}`", shown()))?;
        let (parent, name) = (&path[..split], &path[split + 1..]);
        let parent = if parent.is_empty() { Some(ROOT) } else { self.paths.get(parent).copied() };
        let parent = parent.ok_or_else(|| format!("the parent directory of `{}` is missing", shown()))?;
        if [&b""[..], b".", b".."].contains(&name) {
            return Err(format!("invalid name `{}`", shown()));
        }
        let is_directory = matches!(self.tree.nodes[id].body, Body::Directory(_));
        let node = self.tree.nodes.get_mut(parent).ok_or("no root directory")?;
        let Body::Directory(entries) = &mut node.body else {
            return Err(format!("the parent of `{}` is not a directory", shown()));
        };
        if entries.insert(name.to_vec(), id).is_some() {
            return Err(format!("`{}` twice", shown()));
        }
        if is_directory {
            node.links += 1;
            self.paths.insert(path.to_vec(), id);
        }
        Ok(())
    }

    /// Stores a file's bytes; zeros become holes.
    fn store(&mut self, mut bytes: impl Read, size: u64, kind: Packed) -> Result<Content, ReadError> {
        if self.end.checked_add(size).is_none_or(|end| end > MOST_BYTES) {
            return Err(ReadError::Unsupported(format!("more than {} GiB of files", MOST_BYTES >> 30)));
        }
        let start = self.end;
        let mut buffer = vec![0; BUFFER.min(size as usize)];
        let mut at = 0;
        while at < size {
            let count = buffer.len().min((size - at) as usize);
            match bytes.read(&mut buffer[..count]) {
                Ok(0) => return Err(damaged(kind, format!("a file of {size} bytes ends after {at}"))),
                Ok(count) => {
                    if !is_zero(&buffer[..count]) {
                        let written = self.file.write_all_at(&buffer[..count], start + at);
                        written.map_err(|error| ReadError::Unpack { error })?;
                    }
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(damaged(kind, error)),
            }
        }
        self.end += size;
        // The last extent may end after the last written byte.
        self.file.set_len(self.end).map_err(|error| ReadError::Unpack { error })?;
        let extent = Extent { at: 0, from: start, length: size };
        Ok(Content::Extents(if size == 0 { Vec::new() } else { vec![extent] }))
    }
}
