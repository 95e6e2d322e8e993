//! Extended attributes: in the inode, or in leaf blocks with an index; long values are in separate blocks.

use super::super::acl;
use super::super::format::{
    ATTRIBUTE_LEAF_MAGIC, INDEX_NODE_MAGIC, MAX_LEVELS, REMOTE_VALUE_MAGIC, attribute, fork,
};
use super::super::header::HeaderOffsets;
use super::super::view::View;
use super::fork::Mapping;
use super::inode::Inode;
use super::open::{Budget, Xfs, name};
use crate::disk::source::ReadError;
use std::collections::BTreeMap;

type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// Offsets in a leaf: (version 5, version 4).
const LEAF_COUNT: (usize, usize) = (56, 12);
const LEAF_ENTRIES: (usize, usize) = (80, 32);
const LEAF_ENTRY: usize = 8;
/// Bytes before a name in a leaf: with a local value, and with a remote value.
const LOCAL_NAME: usize = 3;
const REMOTE_NAME: usize = 9;
const NODE_COUNT: (usize, usize) = (56, 12);
const NODE_ENTRIES: (usize, usize) = (64, 16);
/// Size of the header in each block of a remote value, in bytes; version 4 has none.
const REMOTE_HEADER: (usize, usize) = (56, 0);
/// Header fields: the offset of the block's part in the value, and its length in bytes.
const REMOTE_OFFSET: usize = 4;
const REMOTE_BYTES: usize = 8;

impl Xfs<'_> {
    pub(super) fn attributes(&self, inode: &Inode, budget: &mut Budget) -> Result<Attributes, ReadError> {
        let mut found = Attributes::new();
        let Some(fork) = &inode.attributes else { return Ok(found) };
        if fork.format == fork::LOCAL {
            short_attributes(&inode.fork(fork)?, &mut found)?;
            return Ok(found);
        }
        let mappings = self.mappings(inode, fork, budget)?;
        // A fork whose last attribute was removed may remain without blocks.
        if mappings.is_empty() {
            return Ok(found);
        }
        let mut reader = AttributeReader { xfs: self, inode, mappings, budget, found };
        reader.read()?;
        Ok(reader.found)
    }
}

/// Reads an attribute fork that has blocks.
struct AttributeReader<'r, 'a> {
    xfs: &'r Xfs<'a>,
    inode: &'r Inode,
    /// Sorted and disjoint.
    mappings: Vec<Mapping>,
    budget: &'r mut Budget,
    found: Attributes,
}

impl AttributeReader<'_, '_> {
    /// Descends the left edge of the index, then reads the leaves from left to right.
    fn read(&mut self) -> Result<(), ReadError> {
        let xfs = self.xfs;
        let mut next = 0;
        for _ in 0..MAX_LEVELS {
            let (bytes, at) = self.block(next)?;
            let view = self.view(&bytes, at);
            xfs.check_header(&view, HeaderOffsets::INDEX, self.inode.number)?;
            if view.u16(8)? != xfs.by_version(INDEX_NODE_MAGIC) {
                break;
            }
            if view.u16(xfs.by_version(NODE_COUNT))? == 0 {
                return Err(view.damaged("an index block is empty"));
            }
            next = view.u32(xfs.by_version(NODE_ENTRIES) + 4)?.into();
        }
        let blocks: u64 = self.mappings.iter().map(|mapping| mapping.count).sum();
        for _ in 0..blocks {
            let (bytes, at) = self.block(next)?;
            let view = self.view(&bytes, at);
            xfs.check_header(&view, HeaderOffsets::INDEX, self.inode.number)?;
            view.expect("the magic number", view.u16(8)?, xfs.by_version(ATTRIBUTE_LEAF_MAGIC))?;
            self.leaf(&view)?;
            next = view.u32(0)?.into();
            if next == 0 {
                return Ok(());
            }
        }
        Err(self.inode.view().damaged("the attribute blocks form a loop"))
    }

    fn view<'b>(&self, bytes: &'b [u8], at: u64) -> View<'b> {
        View { bytes, name: name("attribute block of inode", self.inode.number), at }
    }

    /// The fork's block at an offset in blocks, and its location in bytes.
    fn block(&mut self, offset: u64) -> Result<(Vec<u8>, u64), ReadError> {
        let view = self.inode.view();
        self.budget.spend(1, &view)?;
        let after = self.mappings.partition_point(|mapping| mapping.offset <= offset);
        let mapping = self.mappings[..after].last();
        let mapping = mapping.filter(|mapping| offset - mapping.offset < mapping.count);
        let mapping = mapping.ok_or_else(|| {
            view.damaged(format!("attribute block {offset} is referenced but does not exist"))
        })?;
        self.xfs.block(mapping.start + (offset - mapping.offset), &view)
    }

    fn leaf(&mut self, view: &View) -> Result<(), ReadError> {
        let entries = self.xfs.by_version(LEAF_ENTRIES);
        let count = usize::from(view.u16(self.xfs.by_version(LEAF_COUNT))?);
        let mut room = view.bytes.len().checked_sub(entries + count * LEAF_ENTRY);
        for index in 0..count {
            let entry = entries + index * LEAF_ENTRY;
            let at = usize::from(view.u16(entry + 4)?);
            let flags = view.u8(entry + 6)?;
            let is_local = flags & attribute::LOCAL != 0;
            let size = if is_local {
                LOCAL_NAME + usize::from(view.u8(at + 2)?) + usize::from(view.u16(at)?)
            } else {
                REMOTE_NAME + usize::from(view.u8(at + 8)?)
            };
            // Without this limit, many names could refer to the same large value.
            room = room.and_then(|room| room.checked_sub(size));
            if room.is_none() {
                return Err(view.damaged(format!("the {count} attributes are larger than the block")));
            }
            if flags & (attribute::INCOMPLETE | attribute::PARENT) != 0 {
                continue;
            }
            if is_local {
                let (value, name) = (usize::from(view.u16(at)?), usize::from(view.u8(at + 2)?));
                let start = at + LOCAL_NAME;
                let value = view.slice(start + name, value)?;
                add(&mut self.found, view, flags, view.slice(start, name)?, value)?;
            } else {
                let (block, length) = (view.u32(at)?, view.u32(at + 4)?);
                let name = view.slice(at + REMOTE_NAME, view.u8(at + 8)?.into())?;
                let value = self.remote_value(view, block.into(), length)?;
                add(&mut self.found, view, flags, name, &value)?;
            }
        }
        Ok(())
    }

    fn remote_value(&mut self, leaf: &View, first: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        let length = usize::try_from(length).ok().filter(|length| *length <= attribute::MAX_VALUE);
        let length = length.ok_or_else(|| leaf.damaged("a value is longer than 64 KiB"))?;
        let header = self.xfs.by_version(REMOTE_HEADER);
        let mut value = Vec::with_capacity(length);
        let mut offset = first;
        while value.len() < length {
            let (bytes, at) = self.block(offset)?;
            let take = (length - value.len()).min(bytes.len() - header);
            if header > 0 {
                let name = name("attribute value block of inode", self.inode.number);
                let view = View { bytes: &bytes, name, at };
                view.expect("the magic number", view.u32(0)?, REMOTE_VALUE_MAGIC)?;
                self.xfs.check_header(&view, HeaderOffsets::REMOTE, self.inode.number)?;
                view.expect("the offset in the value", view.u32(REMOTE_OFFSET)? as usize, value.len())?;
                view.expect("the length", view.u32(REMOTE_BYTES)? as usize, take)?;
            }
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

/// Adds an attribute with the name that the kernel shows.
fn add(found: &mut Attributes, view: &View, flags: u8, name: &[u8], value: &[u8]) -> Result<(), ReadError> {
    let acl = acl::NAMES.iter().find(|(_, disk)| *disk == name).filter(|_| flags & attribute::ROOT != 0);
    let (name, value) = match (acl.and_then(|(shown, _)| Some((*shown, acl::from_disk(value)?))), flags) {
        (Some((shown, value)), _) => (shown.to_vec(), value),
        (None, flags) => {
            let namespace: &[u8] = match flags & (attribute::ROOT | attribute::SECURE) {
                0 => b"user.",
                attribute::ROOT => b"trusted.",
                attribute::SECURE => b"security.",
                _ => return Err(view.damaged("an attribute is in more than one namespace")),
            };
            ([namespace, name].concat(), value.to_vec())
        }
    };
    if found.insert(name, value).is_some() {
        return Err(view.damaged("duplicate attribute"));
    }
    Ok(())
}
