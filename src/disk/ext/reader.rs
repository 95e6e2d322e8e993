//! The filesystem as a whole: opening it, its inodes, and its tree.

use super::attributes::{Attributes, InlineData, attributes};
use super::describe::Index;
use super::directory::{ExtEntry, entries};
use super::group::{Group, descriptor_place, read_groups};
use super::inode::{self, Inode, flag};
use super::mapping::{Budget, Mapping, mapping};
use super::superblock::{SUPERBLOCK_AT, Superblock, incompatible};
use crate::disk::bytes::{damaged, read};
use crate::disk::source::{ReadError, Source};
use crate::disk::tree::{Body, Content, Extent, LINK_MAX, Node, NodeId, ROOT, Tree, mode};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use uuid::Uuid;

/// `s_state`: unmounted cleanly, and errors were found.
const STATE_CLEAN: u16 = 1;
const STATE_ERRORS: u16 = 2;
/// Link count of a directory with more subdirectories than the field can count.
const UNCOUNTED_LINKS: u32 = 1;

/// An ext2, ext3 or ext4 filesystem that is being read.
pub struct Ext<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) superblock: Superblock,
    pub(super) groups: Vec<Group>,
    /// Blocks and what they belong to, built by the first [`Ext::describe`].
    pub(super) index: OnceLock<Index>,
}

impl<'a> Ext<'a> {
    /// Fails if the superblock or the group descriptors are invalid, or if a feature is not supported.
    pub fn open(source: &'a dyn Source) -> Result<Ext<'a>, ReadError> {
        let superblock = Superblock::read(source)?;
        let groups = read_groups(source, &superblock)?;
        Ok(Ext { source, superblock, groups, index: OnceLock::new() })
    }

    pub fn label(&self) -> String {
        String::from_utf8_lossy(&self.superblock.label).into_owned()
    }

    pub fn uuid(&self) -> Uuid {
        self.superblock.uuid
    }

    /// According to the superblock; includes the blocks reserved for root.
    pub fn free_bytes(&self) -> u64 {
        self.superblock.free_clusters.saturating_mul(self.superblock.cluster_size())
    }

    /// Whether the filesystem was unmounted cleanly, without errors and without a journal to be replayed.
    pub fn is_clean(&self) -> bool {
        self.superblock.state & (STATE_CLEAN | STATE_ERRORS) == STATE_CLEAN
            && !self.superblock.has_incompatible(incompatible::RECOVER)
    }

    /// The tree, without file contents. Nodes are numbered directory by directory, in the order of names.
    pub fn tree(&self) -> Result<Tree, ReadError> {
        let mut builder =
            Builder { ext: self, tree: Tree::default(), known: HashMap::new(), budget: Budget::of(self) };
        builder.visit(inode::ROOT_NUMBER)?;
        // The type of other inodes is checked with the directory entry; the root has none.
        let Some(Node { body: Body::Directory(_), .. }) = builder.tree.nodes.first() else {
            return Err(damaged(
                "inode 2",
                self.inode(inode::ROOT_NUMBER)?.at,
                "the root is not a directory",
            ));
        };
        builder.descend()?;
        Ok(builder.tree)
    }

    /// Bytes from the filesystem's start; `None` if the inode number is invalid.
    pub(super) fn inode_place(&self, number: u32) -> Option<u64> {
        let index = number.checked_sub(1)?;
        let group = self.groups.get((index / self.superblock.group_inodes) as usize)?;
        let slot = u64::from(index % self.superblock.group_inodes);
        if group.inodes_unwritten() {
            return None;
        }
        Some(group.inode_table * self.superblock.block_size + slot * self.superblock.inode_size as u64)
    }

    pub(super) fn inode(&self, number: u32) -> Result<Inode, ReadError> {
        let at = self.inode_place(number).ok_or_else(|| {
            // Take the place from the group if it exists, otherwise blame the superblock's number of inodes.
            let group = number.checked_sub(1).map(|index| index / self.superblock.group_inodes);
            let group = group.filter(|group| *group < self.superblock.groups);
            let at = group.map_or(SUPERBLOCK_AT, |group| descriptor_place(&self.superblock, group));
            damaged(format!("inode {number}"), at, "the inode is referenced but does not exist")
        })?;
        Ok(Inode { number, at, bytes: read(self.source, at, self.superblock.inode_size)? })
    }

    /// The first `size` bytes of a mapping; holes are zeros. Callers limit the size.
    pub(super) fn content(&self, mapping: &Mapping, size: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; size as usize];
        for Extent { at, from, length } in self.written(mapping, size) {
            let part = &mut bytes[at as usize..(at + length) as usize];
            self.source.read_at(part, from).map_err(|error| ReadError::Io { at: from, error })?;
        }
        Ok(bytes)
    }

    /// The written extents of a mapping in bytes, up to a file's size.
    pub(super) fn written(&self, mapping: &Mapping, size: u64) -> Vec<Extent> {
        let block = self.superblock.block_size;
        let within = mapping.runs.iter().filter(|run| !run.unwritten && run.at * block < size);
        within
            .map(|run| Extent {
                at: run.at * block,
                from: run.from * block,
                length: (run.length * block).min(size - run.at * block),
            })
            .collect()
    }

    /// A directory's entries without `.` and `..`, in on-disk order.
    pub(super) fn directory(
        &self,
        inode: &Inode,
        inline: Option<&InlineData>,
        budget: &mut Budget,
    ) -> Result<Vec<ExtEntry>, ReadError> {
        if inode.has_flag(flag::INLINE_DATA) {
            // The first four bytes are the parent's inode number.
            let mut found = entries(inode, &inode.map()[4..], inode.at + inode::MAP as u64 + 4)?;
            if let Some(InlineData { bytes, at }) = inline {
                found.extend(entries(inode, bytes, *at)?);
            }
            return Ok(found);
        }
        let size = self.superblock.block_size;
        let mapping = mapping(self, inode, budget)?;
        let mut found = Vec::new();
        for run in mapping.runs.iter().filter(|run| !run.unwritten) {
            for block in run.from..run.from + run.length {
                budget.spend(1, inode.at)?;
                found.extend(entries(inode, &read(self.source, block * size, size as usize)?, block * size)?);
            }
        }
        Ok(found)
    }
}

struct Builder<'t, 'a> {
    ext: &'t Ext<'a>,
    tree: Tree,
    known: HashMap<u32, NodeId>,
    budget: Budget,
}

/// A directory that is partly visited.
struct OpenDirectory {
    id: NodeId,
    waiting: std::vec::IntoIter<ExtEntry>,
    children: BTreeMap<Vec<u8>, NodeId>,
    /// The number of directories among the children.
    directories: u32,
}

impl Builder<'_, '_> {
    /// Reads all directories below the root, depth first. An explicit stack avoids recursion.
    fn descend(&mut self) -> Result<(), ReadError> {
        let mut open = vec![self.open_directory(ROOT)?];
        while let Some(directory) = open.last_mut() {
            let Some(ExtEntry { name, number }) = directory.waiting.next() else {
                self.close_directory(open.pop().expect("checked by the loop condition"));
                continue;
            };
            let id = directory.id;
            let is_new = !self.known.contains_key(&number);
            let child = self.visit(number)?;
            if directory.children.insert(name, child).is_some() {
                return Err(self.damaged(id, "duplicate entry name"));
            }
            if matches!(self.tree.nodes[child].body, Body::Directory(_)) {
                if !is_new {
                    return Err(self.damaged(child, "a directory with more than one name"));
                }
                directory.directories += 1;
                let next = self.open_directory(child)?;
                open.push(next);
            }
        }
        Ok(())
    }

    fn damaged(&self, id: NodeId, problem: &str) -> ReadError {
        let number = self.tree.nodes[id].number as u32;
        let at = self.ext.inode_place(number).unwrap_or_default();
        damaged(format!("directory with inode {number}"), at, problem)
    }

    fn open_directory(&mut self, id: NodeId) -> Result<OpenDirectory, ReadError> {
        let inode = self.ext.inode(self.tree.nodes[id].number as u32)?;
        let inline = if inode.has_flag(flag::INLINE_DATA) {
            attributes(self.ext, &inode, &mut self.budget)?.inline_data
        } else {
            None
        };
        let mut entries = self.ext.directory(&inode, inline.as_ref(), &mut self.budget)?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(OpenDirectory { id, waiting: entries.into_iter(), children: BTreeMap::new(), directories: 0 })
    }

    fn close_directory(&mut self, directory: OpenDirectory) {
        let node = &mut self.tree.nodes[directory.id];
        if node.links == UNCOUNTED_LINKS {
            node.links = 2 + directory.directories;
        }
        node.body = Body::Directory(directory.children);
    }

    /// The node of an inode. The inode is read when its first name is found.
    fn visit(&mut self, number: u32) -> Result<NodeId, ReadError> {
        if let Some(id) = self.known.get(&number) {
            return Ok(*id);
        }
        let id = self.tree.nodes.len();
        self.known.insert(number, id);
        let inode = self.ext.inode(number)?;
        let Attributes { named, inline_data } = attributes(self.ext, &inode, &mut self.budget)?;
        let body = self.body(&inode, inline_data.map(|inline| inline.bytes))?;
        self.tree.nodes.push(Node {
            number: u64::from(number),
            mode: inode.mode(),
            uid: inode.uid(),
            gid: inode.gid(),
            links: inode.links(),
            size: if matches!(body, Body::File(_) | Body::Link(_)) { inode.size() } else { 0 },
            accessed: inode.time(inode::ACCESSED),
            modified: inode.time(inode::MODIFIED),
            changed: inode.time(inode::CHANGED),
            created: inode.created(),
            attributes: named,
            body,
        });
        Ok(id)
    }

    fn body(&mut self, inode: &Inode, inline: Option<Vec<u8>>) -> Result<Body, ReadError> {
        match inode.kind() {
            // Its entries are added in `descend`.
            mode::DIRECTORY => Ok(Body::Directory(BTreeMap::new())),
            mode::FILE => Ok(Body::File(self.file(inode, inline)?)),
            mode::LINK => Ok(Body::Link(self.target(inode, inline)?)),
            mode::CHR | mode::BLK => {
                let (major, minor) = inode.device();
                Ok(Body::Device { major, minor })
            }
            mode::FIFO | mode::SOCKET => Ok(Body::Other),
            other => {
                let structure = format!("inode {}", inode.number);
                Err(damaged(
                    structure,
                    inode.at,
                    format!("the inode is in use, but has the invalid type {other:#o}"),
                ))
            }
        }
    }

    fn file(&mut self, inode: &Inode, inline: Option<Vec<u8>>) -> Result<Content, ReadError> {
        if inode.has_flag(flag::ENCRYPTED) {
            return Ok(Content::Unreadable("the file is encrypted".to_owned()));
        }
        if inode.has_flag(flag::VERITY) {
            return Ok(Content::Unreadable("the file has fs-verity enabled".to_owned()));
        }
        if inode.has_flag(flag::INLINE_DATA) {
            return Ok(Content::Inline(inside(inode, inline)?));
        }
        let mapping = mapping(self.ext, inode, &mut self.budget)?;
        Ok(Content::Extents(self.ext.written(&mapping, inode.size())))
    }

    fn target(&mut self, inode: &Inode, inline: Option<Vec<u8>>) -> Result<Vec<u8>, ReadError> {
        let superblock = &self.ext.superblock;
        if inode.size() > superblock.block_size.min(LINK_MAX) {
            let problem = format!("symbolic link with a target of {} bytes", inode.size());
            return Err(damaged(format!("inode {}", inode.number), inode.at, problem));
        }
        self.budget.keep(inode.size(), inode.at)?;
        if inode.has_flag(flag::INLINE_DATA) {
            return inside(inode, inline);
        }
        if inode.is_short_link(superblock.cluster_size()) {
            return Ok(inode.map()[..inode.size() as usize].to_vec());
        }
        let mapping = mapping(self.ext, inode, &mut self.budget)?;
        self.ext.content(&mapping, inode.size())
    }
}

/// Inline content: the bytes of the map, followed by those in the attribute.
fn inside(inode: &Inode, rest: Option<Vec<u8>>) -> Result<Vec<u8>, ReadError> {
    let mut bytes = inode.map().to_vec();
    bytes.extend(rest.unwrap_or_default());
    if inode.size() > bytes.len() as u64 {
        let problem = format!("{} bytes of inline data expected, found {}", inode.size(), bytes.len());
        return Err(damaged(format!("inode {}", inode.number), inode.at, problem));
    }
    bytes.truncate(inode.size() as usize);
    Ok(bytes)
}
