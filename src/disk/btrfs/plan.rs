//! Plans everything before a byte is written: the layout and the items of all trees.
//!
//! Trees describe each other and themselves: the extent tree lists the blocks of all trees, including its own. Item
//! sizes do not depend on addresses, so the number of blocks is found by iterating until it is stable.

use super::bytes::Out;
use super::chunk::{Chunk, Chunks};
use super::contents;
use super::data::{self, Piece, Storage};
use super::format::{Key, compat_ro, entry, kind, name_hash, object};
use super::inode::Inode;
use super::items::{
    RootItem, encode_block_reference, encode_data_reference, encode_entry, encode_reference, encode_root,
};
use super::layout::{ChunkFlags, ChunkSizing, Demand, Layout, lay_out};
use super::space_tree::{free_space_items, group_items, groups};
use super::superblock::{Root, Superblock};
use super::tree_writer::{Shape, TreeItem, max_value};
use super::writer::{GENERATION, WriteError};
use crate::disk::fill::Fill;
use crate::disk::scan::Scan;
use crate::disk::tree::Time;
use std::ops::Range;
use uuid::Uuid;

/// The input of a plan.
pub(super) struct Input<'i> {
    pub scan: &'i Scan,
    pub fill: &'i Fill,
    /// Superblock of the empty filesystem, with a new device UUID.
    pub superblock: &'i Superblock,
    pub flags: ChunkFlags,
    pub chunk_tree_uuid: Uuid,
    pub subvolume_uuid: Uuid,
}

pub(super) struct Plan {
    pub layout: Layout,
    pub pieces: Vec<Piece>,
    pub trees: Vec<PlannedTree>,
    /// Bytes in all extents, each copy counted once.
    pub used: u64,
}

/// A tree whose blocks are contiguous.
pub(super) struct PlannedTree {
    pub owner: u64,
    pub items: Vec<TreeItem>,
    pub shape: Shape,
    /// Logical address.
    pub first: u64,
}

impl PlannedTree {
    fn new(owner: u64, items: Vec<TreeItem>, node_size: u32) -> PlannedTree {
        let shape = Shape::of_items(&items, node_size);
        PlannedTree { owner, items, shape, first: 0 }
    }

    fn bytes(&self, node_size: u32) -> u64 {
        self.shape.blocks() as u64 * u64::from(node_size)
    }
}

impl Plan {
    pub(super) fn root(&self, owner: u64, node_size: u32) -> Root {
        let tree = self.trees.iter().find(|tree| tree.owner == owner).expect("every plan contains this tree");
        tree.shape.root(tree.first, node_size, GENERATION)
    }
}

/// Computes a plan, with ample chunks if they fit.
pub(super) fn plan(input: &Input) -> Result<Plan, WriteError> {
    let storages = data::storages(input.scan, input.superblock.sector)?;
    let total = input.superblock.total;
    for sizing in [ChunkSizing::Ample, ChunkSizing::Tight] {
        if let Some(plan) = attempt(input, &storages, sizing, total)? {
            return Ok(plan);
        }
    }
    /// Larger than any filesystem, but small enough to be added without overflow.
    const UNLIMITED: u64 = 1 << 60;
    let need =
        attempt(input, &storages, ChunkSizing::Tight, UNLIMITED)?.map_or(u64::MAX, |plan| plan.layout.end);
    // Chunks may fail to fit just because of the positions of superblocks.
    Err(WriteError::Full { need: need.max(total + 1), have: total })
}

/// Computes a plan for a device whose chunks may use the bytes below `end`.
fn attempt(
    input: &Input,
    storages: &[Storage],
    sizing: ChunkSizing,
    end: u64,
) -> Result<Option<Plan>, WriteError> {
    let node = u64::from(input.superblock.node);
    let data = data::total(storages);
    let mut demand = Demand { system: node, data, metadata: 16 * node };
    loop {
        let Some(layout) = lay_out(&input.flags, &demand, sizing, input.superblock.total, end) else {
            return Ok(None);
        };
        let pieces = data::cut(storages, &layout);
        let items = contents::items(input.scan, storages, &pieces, input.superblock)?;
        let (trees, used) = Trees { input, layout: &layout, pieces: &pieces, data }.plan(items)?;
        let (system, metadata): (Vec<_>, Vec<_>) =
            trees.iter().partition(|tree| tree.owner == object::CHUNK_TREE);
        let bytes = |trees: Vec<&PlannedTree>| -> u64 {
            trees.iter().map(|tree| tree.bytes(input.superblock.node)).sum()
        };
        let (system, metadata) = (bytes(system), bytes(metadata));
        if system <= demand.system && metadata <= demand.metadata {
            return Ok(Some(Plan { layout, pieces, trees, used }));
        }
        // More chunks need more items, so iterate: the demand soon exceeds the need slightly and is stable.
        demand.system = demand.system.max(system);
        demand.metadata = demand.metadata.max((metadata + metadata / 64).next_multiple_of(node));
    }
}

/// Builds all trees for a layout.
struct Trees<'t> {
    input: &'t Input<'t>,
    layout: &'t Layout,
    pieces: &'t [Piece],
    /// Size in bytes.
    data: u64,
}

impl Trees<'_> {
    fn node(&self) -> u32 {
        self.input.superblock.node
    }

    fn tree(&self, owner: u64, items: Vec<TreeItem>) -> PlannedTree {
        PlannedTree::new(owner, items, self.node())
    }

    /// All trees with their addresses, and the number of bytes used.
    fn plan(&self, fs_items: Vec<TreeItem>) -> Result<(Vec<PlannedTree>, u64), WriteError> {
        let mut chunk_tree = self.tree(object::CHUNK_TREE, self.chunk_items());
        chunk_tree.first = self.layout.system();
        let root_items = self.root_items(&[]);
        let mut trees = vec![
            self.tree(object::FS_TREE, fs_items),
            self.tree(object::CSUM_TREE, self.checksum_items()),
            self.tree(object::UUID_TREE, self.uuid_items()),
            self.tree(object::DATA_RELOC_TREE, contents::empty_tree(self.input.fill.epoch)),
            self.tree(object::DEV_TREE, self.device_items()),
            self.tree(object::ROOT_TREE, root_items),
        ];
        self.place(&mut trees);
        let used = self.add_space_trees(&mut trees, &chunk_tree)?;
        let roots: Vec<_> = trees.iter().map(|tree| self.root_item(tree)).collect();
        let root_tree = trees.iter_mut().find(|tree| tree.owner == object::ROOT_TREE);
        root_tree.expect("the list above contains the root tree").items = self.root_items(&roots);
        trees.push(chunk_tree);
        Ok((trees, used))
    }

    /// Assigns addresses to trees, one after the other; returns the address after the last one.
    fn place(&self, trees: &mut [PlannedTree]) -> u64 {
        let mut next = self.layout.metadata;
        for tree in trees {
            tree.first = next;
            next += tree.bytes(self.node());
        }
        next
    }

    /// Adds the free space tree and the extent tree, whose sizes depend on the number of all blocks, including their
    /// own.
    fn add_space_trees(
        &self,
        trees: &mut Vec<PlannedTree>,
        chunk_tree: &PlannedTree,
    ) -> Result<u64, WriteError> {
        /// The sizes are usually stable after the second iteration.
        const ATTEMPTS: usize = 50;
        let others = trees.len();
        let node = u64::from(self.node());
        let mut end = self.place(trees) + 2 * node;
        for _ in 0..ATTEMPTS {
            trees.truncate(others);
            let used = self.used_ranges(end, chunk_tree);
            let groups = groups(self.layout, &used);
            if self.input.superblock.compat_ro & compat_ro::FREE_SPACE_TREE != 0 {
                trees.push(self.tree(object::FREE_SPACE_TREE, free_space_items(&groups)));
            }
            let first = self.place(trees);
            let blocks = end.saturating_sub(first) / node;
            let mut items: Vec<TreeItem> = group_items(&groups).collect();
            items.extend(self.data_references());
            items.extend(trees.iter().chain([chunk_tree]).flat_map(|tree| self.block_references(tree)));
            // The levels are not known yet, but they do not change the size.
            let own =
                (0..blocks).map(|index| self.block_reference(first + index * node, 0, object::EXTENT_TREE));
            let known = items.len();
            items.extend(own);
            items.sort_unstable_by_key(|item| item.key);
            let mut tree = self.tree(object::EXTENT_TREE, items);
            tree.first = first;
            if tree.shape.blocks() as u64 == blocks {
                let own: Vec<TreeItem> = self.block_references(&tree).collect();
                self.set_levels(&mut tree, &own, known);
                trees.push(tree);
                return Ok(groups.iter().map(|group| group.used).sum());
            }
            end = first + tree.bytes(self.node());
        }
        Err(WriteError::Unsupported("content for which the size of the extent tree does not converge".into()))
    }

    /// Replaces the extent tree's references to its own blocks by references with the right levels.
    fn set_levels(&self, tree: &mut PlannedTree, own: &[TreeItem], known: usize) {
        debug_assert_eq!(tree.items.len(), known + own.len());
        let range = tree.first..tree.first + tree.bytes(self.node());
        let mut own = own.iter();
        for item in &mut tree.items {
            if item.key.kind == kind::METADATA_ITEM && range.contains(&item.key.object) {
                item.clone_from(own.next().expect("one reference for each block"));
            }
        }
    }

    fn used_ranges(&self, end: u64, chunk_tree: &PlannedTree) -> [Range<u64>; 3] {
        let system = chunk_tree.first..chunk_tree.first + chunk_tree.bytes(self.node());
        [system, self.layout.data..self.layout.data + self.data, self.layout.metadata..end]
    }

    fn data_references(&self) -> impl Iterator<Item = TreeItem> {
        self.pieces.iter().map(|piece| {
            let value = encode_data_reference(GENERATION, contents::number(piece.node), piece.at);
            TreeItem::new(piece.logical, kind::EXTENT_ITEM, piece.length, value)
        })
    }

    fn block_references(&self, tree: &PlannedTree) -> impl Iterator<Item = TreeItem> {
        let addresses = (tree.first..).step_by(self.node() as usize);
        let blocks = addresses.zip(tree.shape.block_levels());
        blocks.map(|(address, level)| self.block_reference(address, level, tree.owner))
    }

    fn block_reference(&self, address: u64, level: u8, owner: u64) -> TreeItem {
        let value = encode_block_reference(GENERATION, owner);
        TreeItem::new(address, kind::METADATA_ITEM, level.into(), value)
    }

    fn chunk_items(&self) -> Vec<TreeItem> {
        let mut device = self.input.superblock.device.clone();
        device.used = self.layout.allocated();
        let chunk = |chunk: &Chunk| TreeItem { key: chunk.key(), value: chunk.encode(&device) };
        let mut items =
            vec![TreeItem::new(object::DEV_ITEMS, kind::DEV_ITEM, device.number, device.encode())];
        items.extend(self.layout.chunks.iter().map(chunk));
        items
    }

    fn device_items(&self) -> Vec<TreeItem> {
        let device = self.input.superblock.device.number;
        let mut items = Vec::new();
        for chunk in &self.layout.chunks {
            let value = Out::new()
                .u64s(&[object::CHUNK_TREE, object::FIRST_CHUNK, chunk.start, chunk.length])
                .bytes(self.input.chunk_tree_uuid.as_bytes())
                .done();
            items.extend(
                chunk.copies.iter().map(|copy| TreeItem::new(device, kind::DEV_EXTENT, *copy, value.clone())),
            );
        }
        items.sort_unstable_by_key(|item| item.key);
        items
    }

    /// The items for the checksums of all data, filled with zeros for now.
    fn checksum_items(&self) -> Vec<TreeItem> {
        let superblock = self.input.superblock;
        let (sector, size) = (u64::from(superblock.sector), superblock.checksum.size());
        // Source: `MAX_CSUM_ITEMS`, which leaves space for a second item.
        let most = ((max_value(superblock.node) - super::block::ITEM) / size - 1) as u64 * sector;
        let mut items = Vec::new();
        let end = self.layout.data + self.data;
        for chunk in &self.layout.chunks {
            let mut at = chunk.start.max(self.layout.data);
            while at < chunk.end().min(end) {
                let length = most.min(chunk.end().min(end) - at);
                let value = vec![0; (length / sector) as usize * size];
                items.push(TreeItem::new(object::EXTENT_CSUM, kind::EXTENT_CSUM, at, value));
                at += length;
            }
        }
        items
    }

    fn uuid_items(&self) -> Vec<TreeItem> {
        let (high, low) = self.input.subvolume_uuid.as_bytes().split_at(8);
        let number = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("half of 16 bytes"));
        let value = Out::new().u64(object::FS_TREE).done();
        vec![TreeItem::new(number(high), kind::UUID_SUBVOL, number(low), value)]
    }

    fn root_item(&self, tree: &PlannedTree) -> (u64, RootItem) {
        let is_fs = tree.owner == object::FS_TREE;
        let has_directory = is_fs || tree.owner == object::DATA_RELOC_TREE;
        let item = RootItem {
            root: tree.shape.root(tree.first, self.node(), GENERATION),
            used: tree.bytes(self.node()),
            directory: if has_directory { object::FIRST_FREE } else { 0 },
            uuid: if is_fs { self.input.subvolume_uuid } else { Uuid::nil() },
            time: if is_fs { self.input.fill.epoch } else { 0 },
        };
        (tree.owner, item)
    }

    /// The items of the root tree. A tree that is not in `roots` gets an item of zeros, which has the same size.
    fn root_items(&self, roots: &[(u64, RootItem)]) -> Vec<TreeItem> {
        let mut owners = vec![
            object::EXTENT_TREE,
            object::DEV_TREE,
            object::FS_TREE,
            object::CSUM_TREE,
            object::UUID_TREE,
            object::DATA_RELOC_TREE,
        ];
        if self.input.superblock.compat_ro & compat_ro::FREE_SPACE_TREE != 0 {
            owners.push(object::FREE_SPACE_TREE);
        }
        let empty = RootItem { root: Root::default(), used: 0, directory: 0, uuid: Uuid::nil(), time: 0 };
        let mut items = self.default_subvolume_items();
        for owner in owners {
            let root = roots.iter().find(|(number, _)| *number == owner).map_or(&empty, |(_, root)| root);
            items.push(TreeItem::new(owner, kind::ROOT_ITEM, 0, encode_root(root, self.node())));
        }
        items.sort_unstable_by_key(|item| item.key);
        items
    }

    /// The directory in the root tree. Its only entry, `default`, refers to the default subvolume.
    fn default_subvolume_items(&self) -> Vec<TreeItem> {
        let time = Time { seconds: self.input.fill.epoch, nanoseconds: 0 };
        let inode = Inode {
            generation: GENERATION,
            bytes: self.node().into(),
            links: 1,
            mode: 0o040_755,
            accessed: time,
            changed: time,
            modified: time,
            created: time,
            ..Inode::default()
        };
        let (directory, name) = (object::ROOT_TREE_DIR, b"default");
        let target = Key::new(object::FS_TREE, kind::ROOT_ITEM, u64::MAX);
        let named = encode_entry(target, 0, entry::DIRECTORY, name, b"");
        vec![
            TreeItem::new(object::FS_TREE, kind::INODE_REF, directory, encode_reference(0, name)),
            TreeItem::new(directory, kind::INODE_ITEM, 0, inode.encode()),
            TreeItem::new(directory, kind::INODE_REF, directory, encode_reference(0, b"..")),
            TreeItem::new(directory, kind::DIR_ITEM, name_hash(name), named),
        ]
    }
}

/// The layout's chunks as a map.
pub(super) fn chunk_map(layout: &Layout, superblock: &Superblock) -> Result<Chunks, WriteError> {
    let mut chunks = Chunks::default();
    for chunk in &layout.chunks {
        let value = chunk.encode(&superblock.device);
        // The chunks are valid, so the location for messages is not used.
        chunks.add(chunk.start, &mut super::bytes::In(&value), chunk.copies[0], superblock.total)?;
    }
    Ok(chunks)
}
