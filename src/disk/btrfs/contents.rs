//! The items of the FS tree: nodes, names, attributes and extents of a [`Scan`].

use super::data::{Piece, Storage};
use super::format::{Key, entry, extref_hash, file_extent, incompat, kind, name_hash, object};
use super::inode::{Inode, encode_device};
use super::items::{
    ENTRY_HEADER, encode_attribute, encode_entry, encode_extended_reference, encode_extent, encode_inline,
    encode_reference,
};
use super::superblock::Superblock;
use super::tree_writer::{TreeItem, max_value};
use super::writer::{GENERATION, WriteError};
use crate::disk::scan::Scan;
use crate::disk::tree::{Body, Node, NodeId, ROOT, Time, mode};
use std::collections::BTreeMap;

/// The index of the first name in a directory; 0 and 1 are reserved for `.` and `..`. Source: `BTRFS_DIR_START_INDEX`.
const FIRST_INDEX: u64 = 2;
/// Most names of a node. Source: `BTRFS_LINK_MAX`.
const MAX_LINKS: usize = 65_535;
/// Longest name in bytes. Source: `BTRFS_NAME_LEN`.
const MAX_NAME: usize = 255;

/// A name of a node.
struct NodeName<'n> {
    directory: NodeId,
    index: u64,
    name: &'n [u8],
}

/// The inode number of a node: the root directory has the first, the others follow in the order of the scan.
pub(super) fn number(node: NodeId) -> u64 {
    object::FIRST_FREE + node as u64
}

/// All items, sorted. `pieces` are those of all nodes, in the order of nodes.
pub(super) fn items(
    scan: &Scan,
    storages: &[Storage],
    pieces: &[Piece],
    superblock: &Superblock,
) -> Result<Vec<TreeItem>, WriteError> {
    let names = names(scan)?;
    let mut items = Vec::new();
    let mut pieces = pieces;
    for (id, node) in scan.tree.nodes.iter().enumerate() {
        let (these, others) = pieces.split_at(pieces.partition_point(|piece| piece.node <= id));
        pieces = others;
        let mut maker = Maker { scan, superblock, id, node, items: &mut items };
        maker.inode(&storages[id], these, &names[id])?;
        maker.references(&names[id])?;
        maker.attributes()?;
        maker.entries()?;
        maker.content(&storages[id], these)?;
    }
    items.sort_unstable_by_key(|item| item.key);
    Ok(items)
}

/// The names of each node.
fn names(scan: &Scan) -> Result<Vec<Vec<NodeName<'_>>>, WriteError> {
    let mut names: Vec<Vec<NodeName>> = scan.tree.nodes.iter().map(|_| Vec::new()).collect();
    for (directory, node) in scan.tree.nodes.iter().enumerate() {
        let Body::Directory(entries) = &node.body else { continue };
        for (index, (name, child)) in (FIRST_INDEX..).zip(entries) {
            if name.len() > MAX_NAME {
                return Err(WriteError::node(&scan.paths[*child], "name is longer than 255 bytes"));
            }
            names[*child].push(NodeName { directory, index, name });
        }
    }
    Ok(names)
}

/// Builds the items of one node.
struct Maker<'m> {
    scan: &'m Scan,
    superblock: &'m Superblock,
    id: NodeId,
    node: &'m Node,
    items: &'m mut Vec<TreeItem>,
}

impl Maker<'_> {
    fn problem(&self, problem: impl Into<String>) -> WriteError {
        WriteError::node(&self.scan.paths[self.id], problem)
    }

    fn push(&mut self, kind: u8, offset: u64, value: Vec<u8>) {
        self.items.push(TreeItem::new(number(self.id), kind, offset, value));
    }

    fn max_value(&self) -> usize {
        max_value(self.superblock.node)
    }

    fn inode(&mut self, storage: &Storage, pieces: &[Piece], names: &[NodeName]) -> Result<(), WriteError> {
        let Node { mode, uid, gid, accessed, modified, changed, .. } = *self.node;
        let size = match &self.node.body {
            Body::Directory(entries) => entries.keys().map(|name| 2 * name.len() as u64).sum(),
            Body::File(_) => self.node.size,
            Body::Link(target) => target.len() as u64,
            Body::Device { .. } | Body::Other => 0,
        };
        let device = match self.node.body {
            Body::Device { major, minor } => encode_device(major, minor)
                .ok_or_else(|| self.problem(format!("device number {major}:{minor} is too large")))?,
            _ => 0,
        };
        let bytes = match storage {
            Storage::Inline(bytes) => bytes.len() as u64,
            Storage::Ranges(_) => pieces.iter().map(|piece| piece.length).sum(),
        };
        // btrfs does not count subdirectories as links.
        let links = if matches!(self.node.body, Body::Directory(_)) { 1 } else { names.len() as u32 };
        let created = self.node.created.unwrap_or(modified);
        let inode = Inode {
            generation: GENERATION,
            size,
            bytes,
            links,
            uid,
            gid,
            mode,
            device,
            accessed,
            changed,
            modified,
            created,
        };
        self.push(kind::INODE_ITEM, 0, inode.encode());
        Ok(())
    }

    /// INODE_REF holds a directory's names of the node as long as they fit, INODE_EXTREF holds the rest.
    fn references(&mut self, names: &[NodeName]) -> Result<(), WriteError> {
        if self.id == ROOT {
            let parent = object::FIRST_FREE;
            self.push(kind::INODE_REF, parent, encode_reference(0, b".."));
            return Ok(());
        }
        if names.len() > MAX_LINKS {
            return Err(
                self.problem(format!("{} hard links, but btrfs supports at most {MAX_LINKS}", names.len()))
            );
        }
        let mut plain: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut extended: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for NodeName { directory, index, name } in names {
            let parent = number(*directory);
            let reference = encode_reference(*index, name);
            let value = plain.entry(parent).or_default();
            if value.len() + reference.len() <= self.max_value() {
                value.extend(reference);
            } else if self.superblock.incompat & incompat::EXTENDED_IREF != 0 {
                let value = extended.entry(extref_hash(parent, name)).or_default();
                value.extend(encode_extended_reference(parent, *index, name));
            } else {
                return Err(self.problem("too many hard links in one directory without the feature extref"));
            }
        }
        for (parent, value) in plain {
            self.push(kind::INODE_REF, parent, value);
        }
        for (hash, value) in extended {
            if value.len() > self.max_value() {
                return Err(self.problem(format!("too many hard links with the name hash {hash:#x}")));
            }
            self.push(kind::INODE_EXTREF, hash, value);
        }
        Ok(())
    }

    fn attributes(&mut self) -> Result<(), WriteError> {
        let mut by_hash: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let room = self.max_value();
        for (name, value) in &self.node.attributes {
            let item = by_hash.entry(name_hash(name)).or_default();
            if name.len() > MAX_NAME || item.len() + ENTRY_HEADER + name.len() + value.len() > room {
                return Err(WriteError::Attribute {
                    path: self.scan.paths[self.id].clone(),
                    attribute: name.escape_ascii().to_string(),
                    size: value.len(),
                    room: room.saturating_sub(item.len() + ENTRY_HEADER + name.len()),
                });
            }
            item.extend(encode_attribute(GENERATION, name, value));
        }
        for (hash, value) in by_hash {
            self.push(kind::XATTR_ITEM, hash, value);
        }
        Ok(())
    }

    fn entries(&mut self) -> Result<(), WriteError> {
        let node = self.node;
        let Body::Directory(entries) = &node.body else { return Ok(()) };
        let mut by_hash: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (index, (name, child)) in (FIRST_INDEX..).zip(entries) {
            let target = Key::new(number(*child), kind::INODE_ITEM, 0);
            let value =
                encode_entry(target, GENERATION, entry_type(&self.scan.tree.nodes[*child]), name, b"");
            by_hash.entry(name_hash(name)).or_default().extend_from_slice(&value);
            self.push(kind::DIR_INDEX, index, value);
        }
        for (hash, value) in by_hash {
            if value.len() > self.max_value() {
                return Err(self.problem(format!("too many entries with the name hash {hash:#x}")));
            }
            self.push(kind::DIR_ITEM, hash, value);
        }
        Ok(())
    }

    fn content(&mut self, storage: &Storage, pieces: &[Piece]) -> Result<(), WriteError> {
        if let Storage::Inline(bytes) = storage {
            let room = self.max_value() - file_extent::HEADER;
            if bytes.len() > room {
                let length = bytes.len();
                return Err(self.problem(format!(
                    "the symbolic link's target has {length} bytes, but only {room} fit into a node"
                )));
            }
            self.push(kind::EXTENT_DATA, 0, encode_inline(GENERATION, bytes));
            return Ok(());
        }
        let holes = self.superblock.incompat & incompat::NO_HOLES == 0;
        let mut end = 0;
        for piece in pieces {
            if holes && end < piece.at {
                self.push(kind::EXTENT_DATA, end, encode_extent(GENERATION, 0, piece.at - end));
            }
            let value = encode_extent(GENERATION, piece.logical, piece.length);
            self.push(kind::EXTENT_DATA, piece.at, value);
            end = piece.at + piece.length;
        }
        let whole = match self.node.body {
            Body::File(_) => self.node.size.next_multiple_of(self.superblock.sector.into()),
            _ => 0,
        };
        if holes && end < whole {
            self.push(kind::EXTENT_DATA, end, encode_extent(GENERATION, 0, whole - end));
        }
        Ok(())
    }
}

fn entry_type(node: &Node) -> u8 {
    match (&node.body, node.mode & mode::TYPE) {
        (Body::Directory(_), _) => entry::DIRECTORY,
        (Body::File(_), _) => entry::FILE,
        (Body::Link(_), _) => entry::LINK,
        (Body::Device { .. }, mode::CHR) => entry::CHARACTER_DEVICE,
        (Body::Device { .. }, _) => entry::BLOCK_DEVICE,
        (Body::Other, mode::SOCKET) => entry::SOCKET,
        (Body::Other, _) => entry::PIPE,
    }
}

/// The items of a tree that contains only an empty root directory.
pub(super) fn empty_tree(seconds: i64) -> Vec<TreeItem> {
    let time = Time { seconds, nanoseconds: 0 };
    let inode = Inode {
        generation: GENERATION,
        links: 1,
        mode: 0o040_755,
        accessed: time,
        changed: time,
        modified: time,
        created: time,
        ..Inode::default()
    };
    let root = object::FIRST_FREE;
    vec![
        TreeItem::new(root, kind::INODE_ITEM, 0, inode.encode()),
        TreeItem::new(root, kind::INODE_REF, root, encode_reference(0, b"..")),
    ]
}
