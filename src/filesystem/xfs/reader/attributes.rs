//! Extended attributes: in the inode, or in leaf blocks with an index, long values in blocks of their own.

use super::super::acl;
use super::super::format::{
    ATTRIBUTE_LEAF_MAGIC, INDEX_NODE_MAGIC, MAX_LEVELS, REMOTE_VALUE_MAGIC, attribute, fork,
};
use super::super::header::Header;
use super::super::view::View;
use super::folder::blocks;
use super::inode::Inode;
use super::open::{Budget, Xfs, name};
use crate::filesystem::source::ReadError;
use std::collections::BTreeMap;

type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;
/// Of an attribute fork: offset in blocks to block number.
type Blocks = BTreeMap<u64, u64>;

/// Where things lie in a leaf: (version 5, version 4).
const LEAF_COUNT: (usize, usize) = (56, 12);
const LEAF_ENTRIES: (usize, usize) = (80, 32);
const LEAF_ENTRY: usize = 8;
const NODE_COUNT: (usize, usize) = (56, 12);
const NODE_ENTRIES: (usize, usize) = (64, 16);
/// Bytes of the header in each block of a value; version 4 has none.
const REMOTE_HEADER: (usize, usize) = (56, 0);

impl Xfs<'_> {
    pub(super) fn attributes(&self, inode: &Inode, budget: &mut Budget) -> Result<Attributes, ReadError> {
        let mut found = Attributes::new();
        let Some(fork) = &inode.attributes else { return Ok(found) };
        if fork.format == fork::LOCAL {
            short_attributes(&inode.fork(fork)?, &mut found)?;
            return Ok(found);
        }
        let mappings = self.mappings(inode, fork, budget)?;
        let count: u64 = mappings.iter().map(|mapping| mapping.count).sum();
        budget.spend(count, &inode.view())?;
        let blocks: Blocks = mappings.iter().flat_map(blocks).collect();
        // A fork whose last attribute was removed may stay, without any block.
        if !blocks.is_empty() {
            self.indexed_attributes(inode, &blocks, &mut found)?;
        }
        Ok(found)
    }

    /// Follows the index down its left edge, then the leaves from left to right.
    fn indexed_attributes(
        &self,
        inode: &Inode,
        blocks: &Blocks,
        found: &mut Attributes,
    ) -> Result<(), ReadError> {
        let mut next = 0;
        for _ in 0..MAX_LEVELS {
            let (bytes, at) = self.attribute_block(inode, blocks, next)?;
            let view = View { bytes: &bytes, name: name("attribute block of inode", inode.number), at };
            self.check_header(&view, Header::INDEX, inode.number)?;
            if view.u16(8)? != self.by_version(INDEX_NODE_MAGIC) {
                break;
            }
            if view.u16(self.by_version(NODE_COUNT))? == 0 {
                return Err(view.damaged("its index has an empty block"));
            }
            next = view.u32(self.by_version(NODE_ENTRIES) + 4)?.into();
        }
        for _ in 0..blocks.len() {
            let (bytes, at) = self.attribute_block(inode, blocks, next)?;
            let view = View { bytes: &bytes, name: name("attribute block of inode", inode.number), at };
            self.check_header(&view, Header::INDEX, inode.number)?;
            view.expect("the magic", view.u16(8)?, self.by_version(ATTRIBUTE_LEAF_MAGIC))?;
            self.leaf(&view, inode, blocks, found)?;
            next = view.u32(0)?.into();
            if next == 0 {
                return Ok(());
            }
        }
        Err(inode.view().damaged("its attribute blocks go in circles"))
    }

    fn attribute_block(
        &self,
        inode: &Inode,
        blocks: &Blocks,
        offset: u64,
    ) -> Result<(Vec<u8>, u64), ReadError> {
        let number = blocks.get(&offset);
        let number = number.ok_or_else(|| {
            inode.view().damaged(format!("its attributes have no block {offset}, which they name"))
        })?;
        self.block(*number, &inode.view())
    }

    fn leaf(
        &self,
        view: &View,
        inode: &Inode,
        blocks: &Blocks,
        found: &mut Attributes,
    ) -> Result<(), ReadError> {
        let entries = self.by_version(LEAF_ENTRIES);
        for index in 0..usize::from(view.u16(self.by_version(LEAF_COUNT))?) {
            let entry = entries + index * LEAF_ENTRY;
            let at = usize::from(view.u16(entry + 4)?);
            let flags = view.u8(entry + 6)?;
            if flags & (attribute::INCOMPLETE | attribute::PARENT) != 0 {
                continue;
            }
            let (name, value) = if flags & attribute::LOCAL != 0 {
                let (value, name) = (usize::from(view.u16(at)?), usize::from(view.u8(at + 2)?));
                (view.slice(at + 3, name)?, view.slice(at + 3 + name, value)?.to_vec())
            } else {
                let (block, length) = (view.u32(at)?, view.u32(at + 4)?);
                let name = view.slice(at + 9, view.u8(at + 8)?.into())?;
                (name, self.remote_value(view, inode, blocks, block.into(), length)?)
            };
            add(found, view, flags, name, &value)?;
        }
        Ok(())
    }

    fn remote_value(
        &self,
        leaf: &View,
        inode: &Inode,
        blocks: &Blocks,
        first: u64,
        length: u32,
    ) -> Result<Vec<u8>, ReadError> {
        let length = usize::try_from(length).ok().filter(|length| *length <= attribute::MAX_VALUE);
        let length = length.ok_or_else(|| leaf.damaged("a value is longer than 64 KiB"))?;
        let header = self.by_version(REMOTE_HEADER);
        let mut value = Vec::with_capacity(length);
        let mut offset = first;
        while value.len() < length {
            let (bytes, at) = self.attribute_block(inode, blocks, offset)?;
            if header > 0 {
                let view =
                    View { bytes: &bytes, name: name("attribute value block of inode", inode.number), at };
                view.expect("the magic", view.u32(0)?, REMOTE_VALUE_MAGIC)?;
                self.check_header(&view, Header::REMOTE, inode.number)?;
            }
            let take = (length - value.len()).min(bytes.len() - header);
            value.extend(&bytes[header..header + take]);
            offset += 1;
        }
        Ok(value)
    }
}

fn short_attributes(view: &View, found: &mut Attributes) -> Result<(), ReadError> {
    let count = view.u8(2)?;
    let mut at = 4;
    for _ in 0..count {
        let (name, value) = (usize::from(view.u8(at)?), usize::from(view.u8(at + 1)?));
        let flags = view.u8(at + 2)?;
        if flags & (attribute::INCOMPLETE | attribute::PARENT) == 0 {
            add(found, view, flags, view.slice(at + 3, name)?, view.slice(at + 3 + name, value)?)?;
        }
        at += 3 + name + value;
    }
    Ok(())
}

/// Adds an attribute under the name that a kernel shows.
fn add(found: &mut Attributes, view: &View, flags: u8, name: &[u8], value: &[u8]) -> Result<(), ReadError> {
    let acl = acl::NAMES.iter().find(|(_, disk)| *disk == name).filter(|_| flags & attribute::ROOT != 0);
    let (name, value) = match (acl.and_then(|(shown, _)| Some((*shown, acl::from_disk(value)?))), flags) {
        (Some((shown, value)), _) => (shown.to_vec(), value),
        (None, flags) => {
            let namespace: &[u8] = match flags & (attribute::ROOT | attribute::SECURE) {
                0 => b"user.",
                attribute::ROOT => b"trusted.",
                attribute::SECURE => b"security.",
                _ => return Err(view.damaged("an attribute is in two namespaces")),
            };
            ([namespace, name].concat(), value.to_vec())
        }
    };
    if found.insert(name, value).is_some() {
        return Err(view.damaged("an attribute is there twice"));
    }
    Ok(())
}
