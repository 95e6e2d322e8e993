//! Used and free space: block groups and the free space tree.

use super::bytes::Out;
use super::chunk::Chunk;
use super::format::{kind, object};
use super::layout::Layout;
use super::tree_writer::TreeItem;
use std::ops::Range;

/// A chunk and the number of its used bytes, which are the first ones.
pub(super) struct Group<'l> {
    pub chunk: &'l Chunk,
    pub used: u64,
}

/// All block groups, given the used logical ranges.
pub(super) fn groups<'l>(layout: &'l Layout, used: &[Range<u64>]) -> Vec<Group<'l>> {
    let overlap = |chunk: &Chunk, range: &Range<u64>| {
        range.end.min(chunk.end()).saturating_sub(range.start.max(chunk.start))
    };
    let group =
        |chunk: &'l Chunk| Group { chunk, used: used.iter().map(|range| overlap(chunk, range)).sum() };
    layout.chunks.iter().map(group).collect()
}

/// The items of the free space tree: each group has at most one free range, at its end.
pub(super) fn free_space_items(groups: &[Group]) -> Vec<TreeItem> {
    let mut items = Vec::new();
    for Group { chunk, used } in groups {
        let free = chunk.length - used;
        // extent count, flags
        let info = Out::new().u32(u32::from(free > 0)).u32(0).done();
        items.push(TreeItem::new(chunk.start, kind::FREE_SPACE_INFO, chunk.length, info));
        if free > 0 {
            items.push(TreeItem::new(chunk.start + used, kind::FREE_SPACE_EXTENT, free, Vec::new()));
        }
    }
    items.sort_unstable_by_key(|item| item.key);
    items
}

/// The BLOCK_GROUP_ITEM of each group.
pub(super) fn group_items(groups: &[Group]) -> impl Iterator<Item = TreeItem> {
    groups.iter().map(|Group { chunk, used }| {
        let value = Out::new().u64s(&[*used, object::FIRST_CHUNK, chunk.flags]).done();
        TreeItem::new(chunk.start, kind::BLOCK_GROUP_ITEM, chunk.length, value)
    })
}
