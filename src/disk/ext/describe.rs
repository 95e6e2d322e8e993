//! Describes what a byte belongs to, for people who compare two images.

use super::attributes::attributes;
use super::fields;
use super::group::head;
use super::inode::{self, Inode, flag};
use super::mapping::{Budget, mapping};
use super::reader::Ext;
use super::superblock::{SUPERBLOCK_AT, SUPERBLOCK_SIZE};
use crate::disk::tree::{PATH_MAX, mode};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

impl Ext<'_> {
    /// What the byte at `offset` belongs to. Never fails: if damage hides the owner, the result is "block in use" or
    /// "free space", according to the bitmap.
    pub fn describe(&self, offset: u64) -> String {
        let size = self.superblock.block_size;
        let block = offset / size;
        if block >= self.superblock.blocks {
            return "after the filesystem's end".to_owned();
        }
        let in_superblock = SUPERBLOCK_AT..SUPERBLOCK_AT + SUPERBLOCK_SIZE as u64;
        if in_superblock.contains(&offset) {
            return superblock_field(offset - SUPERBLOCK_AT);
        }
        if offset < SUPERBLOCK_AT {
            return "boot block".to_owned();
        }
        let index = self.index.get_or_init(|| Index::of(self));
        match index.find(block) {
            Some(part) => self.describe_part(index, part, offset),
            None => self.describe_rest(block),
        }
    }

    fn describe_part(&self, index: &Index, part: &OwnedRange, offset: u64) -> String {
        let size = self.superblock.block_size;
        let inside = offset - part.blocks.start * size;
        match part.what {
            OwnerKind::Superblock { group } if inside < SUPERBLOCK_SIZE as u64 => {
                format!("group {group}: copy of the {}", superblock_field(inside))
            }
            OwnerKind::Superblock { group } => format!("group {group}: after the copy of the superblock"),
            OwnerKind::Descriptors { group, first } => {
                let each = self.superblock.descriptor_size as u64;
                // Descriptors do not cross block boundaries.
                let per_block = self.superblock.descriptors_per_block();
                let described = first + inside / size * per_block + inside % size / each;
                let field = fields::name(fields::DESCRIPTOR, (inside % each) as usize);
                format!("group {group}: descriptor of group {described}, field {field}")
            }
            OwnerKind::Reserved { group } => format!("group {group}: reserved for more group descriptors"),
            OwnerKind::BlockBitmap { group } => format!("group {group}: block bitmap"),
            OwnerKind::InodeBitmap { group } => format!("group {group}: inode bitmap"),
            OwnerKind::InodeTable { group } => self.describe_inode(index, group, inside),
            OwnerKind::Data { inode } => format!("data of {}", index.name(inode)),
            OwnerKind::Directory { inode } => format!("directory {}", index.name(inode)),
            OwnerKind::Map { inode } => format!("block map of {}", index.name(inode)),
            OwnerKind::Attributes { inode } => format!("attributes of {}", index.name(inode)),
            OwnerKind::Special(name) => name.to_owned(),
        }
    }

    fn describe_inode(&self, index: &Index, group: u32, inside: u64) -> String {
        let each = self.superblock.inode_size as u64;
        let slot = inside / each;
        if slot >= u64::from(self.superblock.group_inodes) {
            return format!("group {group}: after the inode table");
        }
        let number = group * self.superblock.group_inodes + slot as u32 + 1;
        let field = fields::name(fields::INODE, (inside % each) as usize);
        let name = index.names.get(&number).map(|name| format!(" ({name})")).unwrap_or_default();
        format!("group {group}: inode table, inode {number}{name}, field {field}")
    }

    /// Describes a block that no known structure contains.
    fn describe_rest(&self, block: u64) -> String {
        let superblock = &self.superblock;
        let Some(inside) = block.checked_sub(superblock.first_block) else {
            return "boot block".to_owned();
        };
        let group = (inside / superblock.group_blocks) as u32;
        let cluster = inside % superblock.group_blocks / superblock.cluster_blocks;
        let is_used = !self.groups[group as usize].blocks_unwritten()
            && self
                .bitmap(group, superblock.block_size * 8)
                .is_ok_and(|used| used.iter().any(|clusters| clusters.contains(&cluster)));
        if is_used {
            format!("group {group}: block in use but not referenced")
        } else {
            "free space".to_owned()
        }
    }
}

fn superblock_field(inside: u64) -> String {
    format!("superblock, field {}", fields::name(fields::SUPERBLOCK, inside as usize))
}

#[derive(Clone, Copy, Debug)]
enum OwnerKind {
    Superblock { group: u32 },
    Descriptors { group: u32, first: u64 },
    Reserved { group: u32 },
    BlockBitmap { group: u32 },
    InodeBitmap { group: u32 },
    InodeTable { group: u32 },
    Data { inode: u32 },
    Directory { inode: u32 },
    Map { inode: u32 },
    Attributes { inode: u32 },
    Special(&'static str),
}

#[derive(Debug)]
struct OwnedRange {
    blocks: Range<u64>,
    what: OwnerKind,
}

/// Blocks and what they belong to.
#[derive(Debug)]
pub(super) struct Index {
    /// Sorted by block number.
    parts: Vec<OwnedRange>,
    /// The first path of each inode that has one.
    names: HashMap<u32, String>,
}

impl Index {
    fn of(ext: &Ext) -> Index {
        let mut builder =
            MapBuilder { ext, parts: Vec::new(), names: HashMap::new(), budget: Budget::of(ext) };
        builder.add_groups();
        builder.add_special();
        builder.add_tree();
        let MapBuilder { mut parts, names, .. } = builder;
        parts.retain(|part| !part.blocks.is_empty());
        parts.sort_by_key(|part| part.blocks.start);
        Index { parts, names }
    }

    fn find(&self, block: u64) -> Option<&OwnedRange> {
        let next = self.parts.partition_point(|part| part.blocks.start <= block);
        self.parts[..next].last().filter(|part| part.blocks.contains(&block))
    }

    fn name(&self, inode: u32) -> String {
        self.names.get(&inode).cloned().unwrap_or_else(|| format!("inode {inode}"))
    }
}

/// Collects what can be read and skips the rest.
struct MapBuilder<'b, 'a> {
    ext: &'b Ext<'a>,
    parts: Vec<OwnedRange>,
    names: HashMap<u32, String>,
    budget: Budget,
}

impl MapBuilder<'_, '_> {
    fn add(&mut self, blocks: Range<u64>, what: OwnerKind) {
        self.parts.push(OwnedRange { blocks, what });
    }

    fn add_groups(&mut self) {
        let superblock = &self.ext.superblock;
        let table = superblock.inode_table_blocks();
        for (group, places) in (0..superblock.groups).zip(&self.ext.groups) {
            let head = head(superblock, group);
            self.add(head.superblock, OwnerKind::Superblock { group });
            self.add(head.descriptors, OwnerKind::Descriptors { group, first: head.first_described });
            self.add(head.reserved, OwnerKind::Reserved { group });
            self.add(places.block_bitmap..places.block_bitmap + 1, OwnerKind::BlockBitmap { group });
            self.add(places.inode_bitmap..places.inode_bitmap + 1, OwnerKind::InodeBitmap { group });
            self.add(places.inode_table..places.inode_table + table, OwnerKind::InodeTable { group });
        }
    }

    /// Adds inodes that have no path.
    fn add_special(&mut self) {
        let superblock = &self.ext.superblock;
        let [users, groups, projects] = superblock.quota_inodes;
        let special = [
            (superblock.journal_inode, "journal"),
            (superblock.orphan_inode, "orphan file"),
            (users, "user quota"),
            (groups, "group quota"),
            (projects, "project quota"),
        ];
        for (number, name) in special.into_iter().filter(|(number, _)| *number != 0) {
            if let Ok(inode) = self.ext.inode(number) {
                self.add_inode(&inode, OwnerKind::Special(name), OwnerKind::Special(name));
            }
            self.names.insert(number, name.to_owned());
        }
        // Of the resize inode's map, only the first block is its own; the others are the blocks reserved for group
        // descriptors.
        if let Ok(inode) = self.ext.inode(inode::RESIZE_NUMBER)
            && let Ok(mapping) = mapping(self.ext, &inode, &mut self.budget)
            && let Some(first) = mapping.nodes.first()
        {
            self.add(
                *first..first + 1,
                OwnerKind::Special("map of the blocks reserved for more group descriptors"),
            );
        }
        self.names.insert(inode::RESIZE_NUMBER, "reserved group descriptors".to_owned());
        if (1..superblock.blocks).contains(&superblock.mmp_block) {
            self.add(
                superblock.mmp_block..superblock.mmp_block + 1,
                OwnerKind::Special("multi-mount protection"),
            );
        }
    }

    fn add_inode(&mut self, inode: &Inode, data: OwnerKind, map: OwnerKind) {
        let block = inode.attribute_block();
        if block != 0 && block < self.ext.superblock.blocks {
            self.add(block..block + 1, OwnerKind::Attributes { inode: inode.number });
        }
        let cluster = self.ext.superblock.cluster_size();
        let has_blocks = match inode.kind() {
            mode::FILE | mode::DIRECTORY => true,
            mode::LINK => !inode.is_short_link(cluster),
            _ => false,
        };
        if has_blocks
            && !inode.has_flag(flag::INLINE_DATA)
            && let Ok(mapping) = mapping(self.ext, inode, &mut self.budget)
        {
            for run in mapping.runs {
                self.add(run.from..run.from + run.length, data);
            }
            for block in mapping.nodes {
                self.add(block..block + 1, map);
            }
        }
    }

    /// Adds all inodes with a path, directory by directory.
    fn add_tree(&mut self) {
        self.names.insert(inode::ROOT_NUMBER, "/".to_owned());
        let mut waiting = vec![inode::ROOT_NUMBER];
        while let Some(number) = waiting.pop() {
            let Ok(inode) = self.ext.inode(number) else { continue };
            let is_directory = inode.kind() == mode::DIRECTORY;
            let data = if is_directory {
                OwnerKind::Directory { inode: number }
            } else {
                OwnerKind::Data { inode: number }
            };
            self.add_inode(&inode, data, OwnerKind::Map { inode: number });
            if !is_directory {
                continue;
            }
            let inline =
                attributes(self.ext, &inode, &mut self.budget).ok().and_then(|found| found.inline_data);
            let entries = self.ext.directory(&inode, inline.as_ref(), &mut self.budget).unwrap_or_default();
            let path = self.names[&number].trim_end_matches('/').to_owned();
            for entry in entries {
                if path.len() + 1 + entry.name.len() >= PATH_MAX {
                    continue;
                }
                if let Entry::Vacant(place) = self.names.entry(entry.number) {
                    place.insert(format!("{path}/{}", String::from_utf8_lossy(&entry.name)));
                    waiting.push(entry.number);
                }
            }
        }
    }
}
