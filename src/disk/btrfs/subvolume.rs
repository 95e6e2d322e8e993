//! The content of a btrfs as a [`Tree`]: the default subvolume, with nested subvolumes as directories.

use super::block;
use super::format::{Key, kind, object};
use super::inode::{Inode, decode_device};
use super::items::{Stored, parse_entries, parse_extent};
use super::reader::{Btrfs, is_subvolume};
use super::walk::LeafItem;
use crate::disk::source::ReadError;
use crate::disk::tree::{Body, Content, Extent, LINK_MAX, Node, NodeId, ROOT, Tree, mode};
use std::collections::{BTreeMap, HashMap};

/// A subvolume and an inode in it.
type InodeKey = (u64, u64);

/// The kernel's inode number for a directory in place of a missing subvolume, as in a snapshot. Source:
/// `BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`.
const EMPTY_SUBVOLUME: u64 = 2;

/// All items of one inode.
#[derive(Default)]
struct Raw {
    inode: Option<Inode>,
    /// For a directory: names with the keys of their targets.
    entries: Vec<(Vec<u8>, Key)>,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    extents: Vec<(u64, Stored)>,
    /// Location of the last item, for messages.
    at: u64,
}

impl Btrfs<'_> {
    /// The tree, starting at the root directory of the default subvolume. Nodes are numbered from parent to child, in
    /// the order of names.
    pub fn tree(&self) -> Result<Tree, ReadError> {
        self.check_log()?;
        let mut builder = Builder {
            btrfs: self,
            subvolumes: HashMap::new(),
            known: HashMap::new(),
            budget: self.blocks.superblock.total,
            tree: Tree::default(),
        };
        builder.build()?;
        Ok(builder.tree)
    }

    /// All inodes of a subvolume. Subtracts the sizes of their items from `budget`, which is in bytes.
    fn read_subvolume(&self, number: u64, budget: &mut u64) -> Result<HashMap<u64, Raw>, ReadError> {
        let mut inodes: HashMap<u64, Raw> = HashMap::new();
        self.blocks.walk(self.tree_root(number)?, &mut |item| {
            let size = block::ITEM + item.value.len();
            *budget = budget.checked_sub(size as u64).ok_or_else(|| {
                ReadError::Unsupported("the snapshots together are larger than the filesystem".into())
            })?;
            self.read_item(&mut inodes, &item)
        })?;
        Ok(inodes)
    }

    fn read_item(&self, inodes: &mut HashMap<u64, Raw>, item: &LeafItem) -> Result<(), ReadError> {
        let wanted = [kind::INODE_ITEM, kind::XATTR_ITEM, kind::DIR_INDEX, kind::EXTENT_DATA];
        if !wanted.contains(&item.key.kind) {
            return Ok(());
        }
        let raw = inodes.entry(item.key.object).or_default();
        raw.at = item.physical;
        match item.key.kind {
            kind::INODE_ITEM => raw.inode = Some(item.whole(Inode::parse(item.value))?),
            kind::XATTR_ITEM => {
                for entry in item.whole(parse_entries(item.value))? {
                    if raw.attributes.insert(entry.name.to_vec(), entry.value.to_vec()).is_some() {
                        return Err(item.damaged("duplicate attribute"));
                    }
                }
            }
            kind::DIR_INDEX => {
                for entry in item.whole(parse_entries(item.value))? {
                    check_name(item, entry.name)?;
                    raw.entries.push((entry.name.to_vec(), entry.target));
                }
            }
            _ => raw.extents.push((item.key.offset, item.whole(parse_extent(item.value, item.physical))?)),
        }
        Ok(())
    }
}

fn check_name(item: &LeafItem, name: &[u8]) -> Result<(), ReadError> {
    let bad =
        name.is_empty() || name == b"." || name == b".." || name.iter().any(|byte| [0, b'/'].contains(byte));
    if bad { Err(item.damaged("invalid name in a directory")) } else { Ok(()) }
}

struct Builder<'b, 'a> {
    btrfs: &'b Btrfs<'a>,
    /// Inodes that were read but are not yet in the tree.
    subvolumes: HashMap<u64, HashMap<u64, Raw>>,
    known: HashMap<InodeKey, NodeId>,
    /// Bytes of items that may still be read: snapshots share blocks on disk, but not in memory.
    budget: u64,
    tree: Tree,
}

/// A name whose node does not exist yet.
struct Pending {
    directory: NodeId,
    name: Vec<u8>,
    subvolume: u64,
    target: Key,
    /// Location of the entry, for messages.
    at: u64,
}

impl Builder<'_, '_> {
    fn build(&mut self) -> Result<(), ReadError> {
        let default = self.btrfs.default_subvolume;
        let root = self.enter(default)?;
        let (_, mut pending) = self.node(root)?;
        // An explicit stack: directories may be nested deeper than the program's stack allows.
        while let Some(Pending { directory, name, subvolume, target, at }) = pending.pop() {
            let damaged = |problem: &str| ReadError::Damaged {
                structure: format!("entry `{}` of a directory", name.escape_ascii()),
                at,
                problem: problem.into(),
            };
            let place = match target.kind {
                kind::INODE_ITEM => Some((subvolume, target.object)),
                kind::ROOT_ITEM if self.btrfs.children.contains(&(target.object, subvolume)) => {
                    Some(self.enter(target.object)?)
                }
                kind::ROOT_ITEM => None,
                _ => return Err(damaged("the entry refers to neither an inode nor a subvolume")),
            };
            let child = match place {
                None => self.empty_subvolume(directory),
                Some(place) => match self.known.get(&place) {
                    Some(known) if matches!(self.tree.nodes[*known].body, Body::Directory(_)) => {
                        return Err(damaged("a directory with more than one name"));
                    }
                    Some(known) => *known,
                    None => {
                        let (child, more) = self.node(place)?;
                        pending.extend(more);
                        child
                    }
                },
            };
            let Body::Directory(entries) = &mut self.tree.nodes[directory].body else {
                unreachable!("only directories have entries")
            };
            if entries.insert(name.clone(), child).is_some() {
                return Err(damaged("duplicate name in the directory"));
            }
        }
        Ok(())
    }

    /// The root directory of a subvolume, whose items are read on the first call.
    fn enter(&mut self, number: u64) -> Result<InodeKey, ReadError> {
        if !is_subvolume(number) {
            return Err(ReadError::Damaged {
                structure: "root tree".into(),
                at: super::superblock::OFFSETS[0],
                problem: format!("tree {number} is used as a subvolume"),
            });
        }
        if let std::collections::hash_map::Entry::Vacant(vacant) = self.subvolumes.entry(number) {
            vacant.insert(self.btrfs.read_subvolume(number, &mut self.budget)?);
        }
        let directory = self.btrfs.roots.get(&number).map_or(object::FIRST_FREE, |root| root.directory);
        Ok((number, directory))
    }

    /// Creates the node of an inode. For a directory, also returns its names in reverse order.
    fn node(&mut self, place: InodeKey) -> Result<(NodeId, Vec<Pending>), ReadError> {
        let (subvolume, number) = place;
        let raw = self.subvolumes.get_mut(&subvolume).and_then(|inodes| inodes.remove(&number));
        let raw = raw.unwrap_or_default();
        let at = raw.at;
        let damaged = |problem: &str| ReadError::Damaged {
            structure: format!("inode {number} of subvolume {subvolume}"),
            at,
            problem: problem.into(),
        };
        let inode =
            raw.inode.as_ref().ok_or_else(|| damaged("the inode is referenced but does not exist"))?;
        inode.check().map_err(|problem| damaged(&problem))?;
        let body = match inode.mode & mode::TYPE {
            mode::DIRECTORY => Body::Directory(BTreeMap::new()),
            mode::FILE => Body::File(self.content(inode.size, &raw).map_err(|problem| damaged(&problem))?),
            mode::LINK => Body::Link(target(inode.size, &raw).map_err(|problem| damaged(&problem))?),
            mode::CHR | mode::BLK => {
                let (major, minor) = decode_device(inode.device);
                Body::Device { major, minor }
            }
            mode::FIFO | mode::SOCKET => Body::Other,
            _ => return Err(damaged(&format!("the mode {:#o} has an unknown file type", inode.mode))),
        };
        let directory = self.tree.nodes.len();
        let is_directory = matches!(body, Body::Directory(_));
        if directory == ROOT && !is_directory {
            return Err(damaged("the root directory is not a directory"));
        }
        let mut pending = Vec::new();
        if is_directory {
            let make = |(name, target)| Pending { directory, name, subvolume, target, at };
            pending.extend(raw.entries.into_iter().map(make));
            pending.sort_by(|one, other| other.name.cmp(&one.name));
        }
        self.known.insert(place, directory);
        self.tree.nodes.push(Node {
            number,
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            links: inode.links,
            size: if matches!(body, Body::File(_) | Body::Link(_)) { inode.size } else { 0 },
            accessed: inode.accessed,
            modified: inode.modified,
            changed: inode.changed,
            created: Some(inode.created),
            attributes: raw.attributes,
            body,
        });
        Ok((directory, pending))
    }

    /// An empty directory, which the kernel shows in a snapshot in place of a nested subvolume.
    fn empty_subvolume(&mut self, parent: NodeId) -> NodeId {
        let Node { uid, gid, accessed, modified, changed, .. } = self.tree.nodes[parent];
        self.tree.nodes.push(Node {
            number: EMPTY_SUBVOLUME,
            mode: mode::DIRECTORY | 0o755,
            uid,
            gid,
            links: 1,
            size: 0,
            accessed,
            modified,
            changed,
            created: None,
            attributes: BTreeMap::new(),
            body: Body::Directory(BTreeMap::new()),
        });
        self.tree.nodes.len() - 1
    }

    fn content(&self, size: u64, raw: &Raw) -> Result<Content, String> {
        if let [(0, Stored::Inline { bytes, .. })] = raw.extents.as_slice()
            && bytes.len() as u64 >= size
        {
            return Ok(Content::Inline(bytes[..size as usize].to_vec()));
        }
        let mut extents: Vec<Extent> = Vec::new();
        let mut end = 0;
        for (at, stored) in &raw.extents {
            let length = match stored {
                Stored::Unreadable(reason) => return Ok(Content::Unreadable(reason.clone())),
                Stored::Inline { bytes, .. } => bytes.len() as u64,
                Stored::Zeros { length } | Stored::Extent { length, .. } => *length,
            };
            if *at < end {
                return Err(format!("the extent at {at} overlaps the previous one"));
            }
            end = at.checked_add(length).ok_or("an extent is too long")?;
            // Preallocation may extend beyond the file's end.
            let visible = end.min(size).saturating_sub(*at);
            match stored {
                _ if visible == 0 => {}
                Stored::Inline { physical, .. } => push(&mut extents, *at, *physical, visible),
                Stored::Extent { logical, .. } => {
                    let pieces = self.btrfs.blocks.chunks.map(*logical, visible);
                    // The kernel never creates an extent that crosses chunks.
                    let [piece] = &pieces.map_err(|error| error.to_string())?[..] else {
                        return Err(format!("the extent at {at} crosses chunks"));
                    };
                    push(&mut extents, *at, piece.copies[0], piece.length);
                }
                _ => {}
            }
        }
        Ok(Content::Extents(extents))
    }
}

/// Adds a range, merged with the last one if it is contiguous in the file and on the disk.
fn push(extents: &mut Vec<Extent>, at: u64, from: u64, length: u64) {
    if let Some(last) = extents.last_mut()
        && last.at + last.length == at
        && last.from + last.length == from
    {
        last.length += length;
        return;
    }
    extents.push(Extent { at, from, length });
}

fn target(size: u64, raw: &Raw) -> Result<Vec<u8>, String> {
    match raw.extents.as_slice() {
        [(0, Stored::Inline { bytes, .. })] if bytes.len() as u64 == size && size <= LINK_MAX => {
            Ok(bytes.clone())
        }
        [(0, Stored::Inline { .. })] if size > LINK_MAX => {
            Err(format!("symbolic link with a target of {size} bytes"))
        }
        [(0, Stored::Inline { bytes, .. })] => {
            Err(format!("the symbolic link's target has {} bytes, but its size is {size}", bytes.len()))
        }
        _ => Err("the symbolic link has no target".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_target_must_match_its_size() {
        let with = |bytes: &[u8]| Raw {
            extents: Vec::from([(0, Stored::Inline { bytes: bytes.to_vec(), physical: 0 })]),
            ..Raw::default()
        };
        assert_eq!(target(3, &with(b"abc")), Ok(b"abc".to_vec()));
        assert!(target(4, &with(b"abc")).is_err());
        assert!(target(4096, &with(&[b'a'; 4096])).is_err());
        assert!(target(0, &Raw::default()).is_err());
    }
}
