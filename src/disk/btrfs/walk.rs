//! Reading the items of a tree in order.

use super::block::{self, Entries};
use super::chunk::Chunks;
use super::format::Key;
use super::superblock::{self, Root, Superblock};
use crate::disk::source::{ReadError, Source};
use std::collections::HashSet;

/// Everything that is needed to read a tree.
pub(super) struct Blocks<'a> {
    pub source: &'a dyn Source,
    pub superblock: Superblock,
    pub chunks: Chunks,
}

/// An item of a leaf.
pub(super) struct LeafItem<'a> {
    pub key: Key,
    pub value: &'a [u8],
    /// Location of the value, in bytes from the filesystem's start.
    pub physical: u64,
}

impl LeafItem<'_> {
    pub(super) fn damaged(&self, problem: impl Into<String>) -> ReadError {
        let Key { object, kind, offset } = self.key;
        let structure = format!("item ({object} {kind} {offset})");
        ReadError::Damaged { structure, at: self.physical, problem: problem.into() }
    }

    /// Unwraps a parsed value; `None` means that the item was too short.
    pub(super) fn whole<T>(&self, parsed: Option<T>) -> Result<T, ReadError> {
        parsed.ok_or_else(|| self.damaged("the item is too short"))
    }
}

type Visitor<'v> = dyn FnMut(LeafItem) -> Result<(), ReadError> + 'v;

impl Blocks<'_> {
    /// Calls `visit` for each item of a tree, in the order of keys.
    pub(super) fn walk(&self, root: Root, visit: &mut Visitor) -> Result<(), ReadError> {
        self.walk_range(root, Key::new(0, 0, 0), Key::new(u64::MAX, u8::MAX, u64::MAX), visit)
    }

    /// Same as [`walk`](Self::walk), limited to the items from `first` to `last` (inclusive).
    pub(super) fn walk_range(
        &self,
        root: Root,
        first: Key,
        last: Key,
        visit: &mut Visitor,
    ) -> Result<(), ReadError> {
        let mut walk = TreeWalk { blocks: self, first, last, seen: HashSet::new(), previous: None, visit };
        walk.block(root, None)
    }

    /// The bytes and the location of a copy of a tree block with a valid checksum.
    pub(super) fn read(&self, address: u64) -> Result<(Vec<u8>, u64), ReadError> {
        let size = self.superblock.node as usize;
        let mapped = self.chunks.map(address, size as u64)?;
        let [mapped] = mapped.as_slice() else {
            return Err(ReadError::Damaged {
                structure: "tree block".into(),
                at: mapped.first().map_or(superblock::OFFSETS[0], |mapped| mapped.copies[0]),
                problem: format!("the block at logical byte {address} crosses chunks"),
            });
        };
        let checksum = self.superblock.checksum;
        let mut bytes = vec![0; size];
        let mut fault = None;
        for physical in &mapped.copies {
            // One valid copy is sufficient.
            match self.source.read_at(&mut bytes, *physical) {
                Err(error) => fault = Some(ReadError::Io { at: *physical, error }),
                Ok(()) if checksum.of(&bytes[32..])[..checksum.size()] == bytes[..checksum.size()] => {
                    return Ok((bytes, *physical));
                }
                Ok(()) => {
                    fault.get_or_insert_with(|| ReadError::Damaged {
                        structure: "tree block".into(),
                        at: *physical,
                        problem: "checksum mismatch".into(),
                    });
                }
            }
        }
        Err(fault.expect("every chunk has at least one copy"))
    }
}

struct TreeWalk<'w, 'a, 'v> {
    blocks: &'w Blocks<'a>,
    first: Key,
    last: Key,
    seen: HashSet<u64>,
    previous: Option<Key>,
    visit: &'w mut Visitor<'v>,
}

impl TreeWalk<'_, '_, '_> {
    /// The level decreases with every call, so the recursion depth is bounded.
    fn block(&mut self, root: Root, first: Option<Key>) -> Result<(), ReadError> {
        let (bytes, physical) = self.blocks.read(root.address)?;
        let damaged =
            |problem: String| ReadError::Damaged { structure: "tree block".into(), at: physical, problem };
        if !self.seen.insert(root.address) {
            return Err(damaged("the block occurs more than once in a tree".into()));
        }
        match block::parse(&bytes, root, &self.blocks.superblock).map_err(damaged)? {
            Entries::Leaf(items) => {
                if first.is_some_and(|first| items.first().is_none_or(|(key, _)| *key != first)) {
                    return Err(damaged("the first key does not match the parent".into()));
                }
                for (key, range) in items {
                    if self.previous.is_some_and(|previous| previous >= key) {
                        return Err(damaged("the keys are not in order with the previous block".into()));
                    }
                    self.previous = Some(key);
                    if (self.first..=self.last).contains(&key) {
                        let physical = physical + range.start as u64;
                        (self.visit)(LeafItem { key, value: &bytes[range], physical })?;
                    }
                }
            }
            Entries::Inner(children) => {
                if first.is_some_and(|first| children[0].0 != first) {
                    return Err(damaged("the first key does not match the parent".into()));
                }
                for (index, (key, child)) in children.iter().enumerate() {
                    let next = children.get(index + 1).map(|(key, _)| *key);
                    if *key > self.last || next.is_some_and(|next| next <= self.first) {
                        continue;
                    }
                    self.block(*child, Some(*key))?;
                }
            }
        }
        Ok(())
    }
}
