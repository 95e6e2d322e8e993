//! Opening a btrfs, and basic queries; its content is read in [`subvolume`](super::subvolume).

use super::bytes::In;
use super::chunk::Chunks;
use super::format::{
    self, Key, RESERVED, compat_ro, incompat, kind, name_hash, object, profile, unknown_feature,
};
use super::superblock::{self, Root, Superblock};
use super::walk::Blocks;
use crate::disk::ranges::merged;
use crate::disk::source::{ReadError, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::OnceLock;
use uuid::Uuid;

/// A btrfs that can be read.
pub struct Btrfs<'a> {
    pub(super) blocks: Blocks<'a>,
    /// Indexed by tree number.
    pub(super) roots: BTreeMap<u64, TreeRoot>,
    /// Pairs of a subvolume's number and that of its parent.
    pub(super) children: BTreeSet<(u64, u64)>,
    pub(super) default_subvolume: u64,
    /// Filled by the first [`describe`](Btrfs::describe).
    pub(super) owners: OnceLock<super::describe::Owners>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct TreeRoot {
    pub root: Root,
    /// For subvolumes, the inode number of the root directory.
    pub directory: u64,
}

/// Features that this module supports or that do not affect reading.
const INCOMPAT: u64 = incompat::MIXED_BACKREF
    | incompat::DEFAULT_SUBVOL
    | incompat::MIXED_GROUPS
    | incompat::COMPRESS_LZO
    | incompat::COMPRESS_ZSTD
    | incompat::BIG_METADATA
    | incompat::EXTENDED_IREF
    | incompat::SKINNY_METADATA
    | incompat::NO_HOLES
    | incompat::METADATA_UUID
    | incompat::SIMPLE_QUOTA;

impl<'a> Btrfs<'a> {
    /// Reads superblock, chunks and the list of trees. Fails if a checksum is wrong or a feature is not supported.
    pub fn open(source: &'a dyn Source) -> Result<Btrfs<'a>, ReadError> {
        let superblock = Superblock::read(source)?;
        check_features(&superblock)?;
        let chunks = Chunks::of_superblock(&superblock)?;
        let mut blocks = Blocks { source, superblock, chunks };
        blocks.chunks = all_chunks(&blocks)?;
        let mut btrfs = Btrfs {
            blocks,
            roots: BTreeMap::new(),
            children: BTreeSet::new(),
            default_subvolume: object::FS_TREE,
            owners: OnceLock::new(),
        };
        btrfs.read_roots()?;
        Ok(btrfs)
    }

    pub fn label(&self) -> &[u8] {
        &self.blocks.superblock.label
    }

    pub fn uuid(&self) -> Uuid {
        self.blocks.superblock.fsid
    }

    /// Bytes available for file data: free space in data chunks, and unallocated space. Metadata may need a part of the
    /// latter.
    pub fn free_bytes(&self) -> Result<u64, ReadError> {
        let device = &self.blocks.superblock.device;
        let data: Vec<_> =
            self.blocks.chunks.iter().filter(|chunk| chunk.flags & profile::DATA != 0).collect();
        let copies = data.first().map_or(1, |chunk| chunk.copies.len() as u64);
        let unallocated = device.total.saturating_sub(device.used).saturating_sub(RESERVED) / copies;
        let mut free = unallocated;
        for (start, used) in self.block_groups()? {
            if let Some(chunk) = data.iter().find(|chunk| chunk.start == start) {
                free = free.saturating_add(chunk.length.saturating_sub(used));
            }
        }
        Ok(free)
    }

    /// The byte ranges whose contents matter, even where they are zero: the first MiB, the superblocks, and all copies
    /// of tree blocks and data. Physical, sorted, merged.
    pub fn in_use(&self) -> Result<Vec<Range<u64>>, ReadError> {
        self.check_log()?;
        let total = self.blocks.superblock.total;
        let superblocks = Superblock::places(total).map(|at| at..at + superblock::SIZE as u64);
        let mut ranges: Vec<_> = std::iter::once(0..RESERVED.min(total)).chain(superblocks).collect();
        self.each_extent(&mut |start, length| {
            for mapped in self.blocks.chunks.map(start, length)? {
                ranges.extend(mapped.copies.iter().map(|copy| *copy..*copy + mapped.length));
            }
            Ok(())
        })?;
        Ok(merged(ranges))
    }

    /// A tree log would contain newer content than the trees.
    pub(super) fn check_log(&self) -> Result<(), ReadError> {
        if self.blocks.superblock.log_root == 0 {
            return Ok(());
        }
        Err(ReadError::Unsupported(
            "the btrfs was not unmounted cleanly: its tree log must be replayed by mounting it".into(),
        ))
    }

    /// Visits the logical start and length of every extent, for data and tree blocks.
    pub(super) fn each_extent(
        &self,
        visit: &mut dyn FnMut(u64, u64) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let node = u64::from(self.blocks.superblock.node);
        let mut end = 0;
        self.blocks.walk(self.tree_root(object::EXTENT_TREE)?, &mut |item| {
            let (start, length) = match item.key.kind {
                kind::EXTENT_ITEM => (item.key.object, item.key.offset),
                kind::METADATA_ITEM => (item.key.object, node),
                _ => return Ok(()),
            };
            if start < end {
                return Err(item.damaged("the extent overlaps the one before"));
            }
            end = start.checked_add(length).ok_or_else(|| item.damaged("the extent is too long"))?;
            visit(start, length)
        })
    }

    /// Logical start and used bytes of each block group.
    fn block_groups(&self) -> Result<Vec<(u64, u64)>, ReadError> {
        let apart = self.blocks.superblock.compat_ro & compat_ro::BLOCK_GROUP_TREE != 0;
        let tree = if apart { object::BLOCK_GROUP_TREE } else { object::EXTENT_TREE };
        let mut groups = Vec::new();
        self.blocks.walk(self.tree_root(tree)?, &mut |item| {
            if item.key.kind == kind::BLOCK_GROUP_ITEM {
                groups.push((item.key.object, item.whole(In(item.value).u64())?));
            }
            Ok(())
        })?;
        Ok(groups)
    }

    pub(super) fn tree_root(&self, number: u64) -> Result<Root, ReadError> {
        let found = self.roots.get(&number).map(|tree| tree.root);
        found.ok_or_else(|| ReadError::Damaged {
            structure: "root tree".into(),
            at: superblock::OFFSETS[0],
            problem: format!("tree {number} is missing"),
        })
    }

    fn read_roots(&mut self) -> Result<(), ReadError> {
        let Btrfs { blocks, roots, children, default_subvolume, .. } = self;
        let default = Key::new(object::ROOT_TREE_DIR, kind::DIR_ITEM, name_hash(b"default"));
        let limit = blocks.superblock.generation.saturating_add(1);
        blocks.walk(blocks.superblock.root, &mut |item| {
            match item.key.kind {
                kind::ROOT_ITEM => {
                    let tree = item.whole(parse_root(item.value))?;
                    if tree.root.generation > limit {
                        return Err(item.damaged("the tree is newer than the filesystem"));
                    }
                    roots.insert(item.key.object, tree);
                }
                kind::ROOT_REF => {
                    children.insert((item.key.offset, item.key.object));
                }
                kind::DIR_ITEM if item.key == default => {
                    *default_subvolume = item.whole(In(item.value).u64())?;
                }
                _ => {}
            }
            Ok(())
        })
    }
}

fn check_features(superblock: &Superblock) -> Result<(), ReadError> {
    if let Some(name) = unknown_feature(superblock.incompat, INCOMPAT, &incompat::NAMES) {
        return Err(ReadError::Unsupported(format!("unsupported btrfs feature {name}")));
    }
    if superblock.devices != 1 {
        let count = superblock.devices;
        return Err(ReadError::Unsupported(format!("the btrfs has {count} devices, only 1 is supported")));
    }
    Ok(())
}

fn all_chunks(blocks: &Blocks) -> Result<Chunks, ReadError> {
    let mut chunks = blocks.chunks.clone();
    let last = Key::new(object::FIRST_CHUNK, kind::CHUNK_ITEM, u64::MAX);
    blocks.walk_range(
        blocks.superblock.chunk_root,
        Key::new(object::FIRST_CHUNK, kind::CHUNK_ITEM, 0),
        last,
        &mut |item| chunks.add(item.key.offset, &mut In(item.value), item.physical, blocks.superblock.total),
    )?;
    Ok(chunks)
}

/// Source: `struct btrfs_root_item`.
fn parse_root(value: &[u8]) -> Option<TreeRoot> {
    let mut input = In(value);
    // The inode.
    input.skip(160)?;
    let (generation, directory, address) = (input.u64()?, input.u64()?, input.u64()?);
    // byte_limit, bytes_used, last_snapshot, flags, refs, drop_progress, drop_level
    input.skip(4 * 8 + 4 + Key::SIZE + 1)?;
    let level = input.u8()?;
    Some(TreeRoot { root: Root { address, level, generation }, directory })
}

/// Whether a tree is a subvolume.
pub(super) fn is_subvolume(number: u64) -> bool {
    number == object::FS_TREE || (object::FIRST_FREE..=format::object::LAST_FREE).contains(&number)
}
