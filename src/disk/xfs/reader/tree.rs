//! The whole tree from the root directory down, in the order of names.

use super::super::format::{LINK_MAX, ON_REALTIME_DEVICE, REMOTE_LINK_MAGIC, fork};
use super::super::header::HeaderOffsets;
use super::super::view::View;
use super::inode::Inode;
use super::open::{Budget, Xfs, name};
use crate::disk::source::ReadError;
use crate::disk::tree::{Body, Content, Extent, Node, NodeId, Tree, mode};
use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, IntoIter};

const REMOTE_LINK_HEADER: (usize, usize) = (56, 0);
/// The largest file size: that of a signed offset.
const FILE_MAX: u64 = i64::MAX.unsigned_abs();

/// A directory whose entries are being visited.
struct Open {
    id: NodeId,
    names: IntoIter<Vec<u8>, u64>,
}

struct Walk<'x, 'a> {
    xfs: &'x Xfs<'a>,
    budget: Budget,
    tree: Tree,
    known: HashMap<u64, NodeId>,
    open: Vec<Open>,
}

impl Xfs<'_> {
    /// The tree, without file contents.
    pub fn tree(&self) -> Result<Tree, ReadError> {
        let mut walk = Walk {
            xfs: self,
            budget: Budget::new(&self.superblock),
            tree: Tree::default(),
            known: HashMap::new(),
            open: Vec::new(),
        };
        let superblock = View { bytes: &[], name: name("superblock", 0), at: 0 };
        let root = self.inode(self.superblock.root, &superblock)?;
        if u32::from(root.mode) & mode::TYPE != mode::DIRECTORY {
            return Err(root.view().damaged("the root is not a directory"));
        }
        walk.add(&root)?;
        while let Some(directory) = walk.open.last_mut() {
            let id = directory.id;
            match directory.names.next() {
                Some((name, number)) => walk.follow(id, name, number)?,
                None => drop(walk.open.pop()),
            }
        }
        Ok(walk.tree)
    }
}

impl Walk<'_, '_> {
    fn follow(&mut self, directory: NodeId, name: Vec<u8>, number: u64) -> Result<(), ReadError> {
        let holder = self.tree.nodes[directory].number;
        let at = self.xfs.superblock.inode_byte(holder).expect("the directory was read from there");
        let holder = View { bytes: &[], name: self::name("directory with inode", holder), at };
        let id = match self.known.get(&number).copied() {
            Some(id) if matches!(self.tree.nodes[id].body, Body::Directory(_)) => {
                return Err(holder.damaged(format!("inode {number} is a directory with more than one name")));
            }
            Some(id) => id,
            None => {
                let inode = self.xfs.inode(number, &holder)?;
                self.add(&inode)?
            }
        };
        let Body::Directory(entries) = &mut self.tree.nodes[directory].body else {
            unreachable!("only directories are open")
        };
        entries.insert(name, id);
        Ok(())
    }

    fn add(&mut self, inode: &Inode) -> Result<NodeId, ReadError> {
        let id = self.tree.nodes.len();
        let body = match u32::from(inode.mode) & mode::TYPE {
            mode::DIRECTORY => {
                let names = self.xfs.names(inode, &mut self.budget)?.into_iter();
                self.open.push(Open { id, names });
                Body::Directory(BTreeMap::new())
            }
            mode::FILE => Body::File(self.content(inode)?),
            mode::LINK => Body::Link(self.target(inode)?),
            mode::CHR | mode::BLK => {
                let device = inode.fork(&inode.data)?.u32(0)?;
                Body::Device { major: device >> 18, minor: device & 0x3_ffff }
            }
            mode::FIFO | mode::SOCKET => Body::Other,
            _ => {
                return Err(inode
                    .view()
                    .damaged(format!("the mode {:#o} has an unknown file type", inode.mode)));
            }
        };
        let sized = matches!(body, Body::File(_) | Body::Link(_));
        self.tree.nodes.push(Node {
            number: inode.number,
            mode: inode.mode.into(),
            uid: inode.uid,
            gid: inode.gid,
            links: inode.links,
            size: if sized { inode.size } else { 0 },
            accessed: inode.accessed,
            modified: inode.modified,
            changed: inode.changed,
            created: inode.created,
            attributes: self.xfs.attributes(inode, &mut self.budget)?,
            body,
        });
        self.known.insert(inode.number, id);
        Ok(id)
    }

    fn content(&mut self, inode: &Inode) -> Result<Content, ReadError> {
        if inode.flags & ON_REALTIME_DEVICE != 0 {
            return Ok(Content::Unreadable("the data is on the realtime device".into()));
        }
        if inode.size > FILE_MAX {
            return Err(inode.view().damaged(format!("invalid size of {} bytes", inode.size)));
        }
        let superblock = &self.xfs.superblock;
        let mut extents: Vec<Extent> = Vec::new();
        for mapping in self.xfs.mappings(inode, &inode.data, &mut self.budget)? {
            // A block offset of 54 bits may exceed 64 bits in bytes. Blocks may also be preallocated after the end.
            let at = mapping.offset.checked_mul(1 << superblock.block_log).filter(|at| *at < inode.size);
            let (Some(at), false) = (at, mapping.unwritten) else { continue };
            let from = superblock.run(mapping.start, mapping.count).expect("checked with the mapping");
            let length = (mapping.count << superblock.block_log).min(inode.size - at);
            match extents.last_mut() {
                Some(last) if last.at + last.length == at && last.from + last.length == from => {
                    last.length += length;
                }
                _ => extents.push(Extent { at, from, length }),
            }
        }
        Ok(Content::Extents(extents))
    }

    fn target(&mut self, inode: &Inode) -> Result<Vec<u8>, ReadError> {
        let view = inode.view();
        if inode.size == 0 || inode.size > LINK_MAX as u64 {
            return Err(view.damaged(format!("symbolic link with a target of {} bytes", inode.size)));
        }
        let size = usize::try_from(inode.size).expect("checked to be small");
        if inode.data.format == fork::LOCAL {
            return Ok(inode.fork(&inode.data)?.slice(0, size)?.to_vec());
        }
        let mut target = Vec::with_capacity(size);
        let header = self.xfs.by_version(REMOTE_LINK_HEADER);
        let mappings = self.xfs.mappings(inode, &inode.data, &mut self.budget)?;
        let block = self.xfs.superblock.block();
        let most = size.div_ceil(block - header) as u64;
        // There is one header for each extent, not for each block.
        for mapping in mappings {
            let at = self.xfs.superblock.run(mapping.start, mapping.count).filter(|_| mapping.count <= most);
            let at = at.ok_or_else(|| view.damaged(format!("the symbolic link's target has {mapping}")))?;
            self.budget.spend(mapping.count, &view)?;
            let length = usize::try_from(mapping.count).expect("a link target takes few blocks") * block;
            let bytes = self.xfs.bytes(at, length)?;
            let part = View { bytes: &bytes, name: name("link block of inode", inode.number), at };
            if header > 0 {
                part.expect("the magic number", part.u32(0)?, REMOTE_LINK_MAGIC)?;
                self.xfs.check_header(&part, HeaderOffsets::REMOTE, inode.number)?;
            }
            target.extend(&bytes[header..][..(size - target.len()).min(length - header)]);
            if target.len() == size {
                return Ok(target);
            }
        }
        Err(view.damaged(format!("the symbolic link's target has only {} of {size} bytes", target.len())))
    }
}
