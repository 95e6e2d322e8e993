//! Describes what a byte belongs to.

use super::block::BlockHeader;
use super::format::{RESERVED, object, profile};
use super::reader::Btrfs;
use super::superblock::{FIELDS, SIZE, Superblock};
use crate::disk::tree::{Body, Content, NodeId, Tree};
use std::ops::Range;

/// Data about the whole filesystem that [`Btrfs::describe`] needs.
#[derive(Default)]
pub(super) struct Owners {
    /// Physical ranges of file data in the first copy, sorted by start, with their nodes.
    files: Vec<(Range<u64>, NodeId)>,
    /// One name of each node, and its directory.
    names: Vec<Option<(NodeId, Vec<u8>)>>,
    /// Logical ranges of extents, sorted.
    extents: Vec<Range<u64>>,
}

impl Btrfs<'_> {
    /// Describes what the byte at `offset` belongs to, for people who compare two images.
    pub fn describe(&self, offset: u64) -> String {
        let total = self.blocks.superblock.total;
        if let Some(start) = Superblock::places(total).find(|at| (*at..*at + SIZE as u64).contains(&offset)) {
            let within = (offset - start) as usize;
            let field = FIELDS.iter().rev().find(|(at, _)| *at <= within).map_or("csum", |(_, name)| *name);
            return format!("superblock, field {field}");
        }
        if offset < RESERVED {
            return "the first MiB, reserved by btrfs".into();
        }
        let Some((chunk, logical)) = self.blocks.chunks.at_physical(offset) else {
            return if offset < total {
                "unallocated space".into()
            } else {
                "after the filesystem's end".into()
            };
        };
        let owners = self.owners.get_or_init(|| self.find_owners());
        let Some(extent) = containing(&owners.extents, logical, |range| range) else {
            return "free space".into();
        };
        let first_copy = chunk.copies[0] + (logical - chunk.start);
        if let Some((_, node)) = containing(&owners.files, first_copy, |(range, _)| range) {
            return format!("data of {}", owners.path(*node));
        }
        if chunk.flags & profile::TYPES == profile::DATA {
            return "data".into();
        }
        let node = u64::from(self.blocks.superblock.node);
        match self.blocks.read(extent.start).ok().and_then(|(block, _)| BlockHeader::parse(&block)) {
            Some(header) if header.address == extent.start && extent.end - extent.start == node => {
                let form = if header.level == 0 { "leaf".into() } else { format!("level {}", header.level) };
                format!("tree block of {}, {form}", tree_name(header.owner))
            }
            _ if chunk.flags & profile::DATA != 0 => "data".into(),
            _ => "tree block, damaged".into(),
        }
    }

    /// Reads as much as possible: damaged images are described, too.
    fn find_owners(&self) -> Owners {
        let mut owners = Owners::default();
        if let Ok(tree) = self.tree() {
            owners.files = files(&tree);
            owners.names = names(&tree);
        }
        // Extents that were found before an error are still valid.
        let _ = self.each_extent(&mut |start, length| {
            owners.extents.push(start..start.saturating_add(length));
            Ok(())
        });
        owners
    }
}

/// The element whose range contains `at`, in a list sorted by range.
fn containing<T>(sorted: &[T], at: u64, range: impl Fn(&T) -> &Range<u64>) -> Option<&T> {
    let after = sorted.partition_point(|element| range(element).start <= at);
    let candidate = sorted.get(after.checked_sub(1)?)?;
    range(candidate).contains(&at).then_some(candidate)
}

impl Owners {
    /// The path from the root directory.
    fn path(&self, node: NodeId) -> String {
        let mut names = Vec::new();
        let mut node = node;
        // Directories have one name each, so this loop ends at the root, which has none.
        while let Some((directory, name)) = &self.names[node] {
            names.push(String::from_utf8_lossy(name));
            node = *directory;
        }
        names.iter().rev().map(|name| format!("/{name}")).collect()
    }
}

fn files(tree: &Tree) -> Vec<(Range<u64>, NodeId)> {
    let mut found = Vec::new();
    for (id, node) in tree.nodes.iter().enumerate() {
        if let Body::File(Content::Extents(extents)) = &node.body {
            found.extend(extents.iter().map(|extent| (extent.from..extent.from + extent.length, id)));
        }
    }
    found.sort_by_key(|(range, _)| range.start);
    found
}

fn names(tree: &Tree) -> Vec<Option<(NodeId, Vec<u8>)>> {
    let mut names: Vec<Option<(NodeId, Vec<u8>)>> = vec![None; tree.nodes.len()];
    for (directory, node) in tree.nodes.iter().enumerate() {
        let Body::Directory(entries) = &node.body else { continue };
        for (name, child) in entries {
            names[*child].get_or_insert_with(|| (directory, name.clone()));
        }
    }
    names
}

fn tree_name(owner: u64) -> String {
    let name = match owner {
        object::ROOT_TREE => "root",
        object::EXTENT_TREE => "extent",
        object::CHUNK_TREE => "chunk",
        object::DEV_TREE => "device",
        object::FS_TREE => "FS",
        object::CSUM_TREE => "checksum",
        object::QUOTA_TREE => "quota",
        object::UUID_TREE => "UUID",
        object::FREE_SPACE_TREE => "free space",
        object::BLOCK_GROUP_TREE => "block group",
        object::DATA_RELOC_TREE => "data relocation",
        other => return format!("subvolume {other}"),
    };
    format!("the {name} tree")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_that_contains_a_byte_is_found() {
        let ranges = [4..8, 8..10, 20..30];
        let find = |at| containing(&ranges, at, |range| range).cloned();
        assert_eq!(find(3), None);
        assert_eq!(find(4), Some(4..8));
        assert_eq!(find(8), Some(8..10));
        assert_eq!(find(15), None);
        assert_eq!(find(29), Some(20..30));
        assert_eq!(find(30), None);
    }
}
