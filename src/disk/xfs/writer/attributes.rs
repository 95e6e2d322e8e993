//! Extended attributes: in the inode if they fit, otherwise in leaf blocks with an index. Long values are in separate
//! blocks after the index.
//!
//! Source: struct xfs_attr_sf_hdr, xfs_attr3_leaf_hdr, xfs_attr3_rmt_hdr in xfs_da_format.h.

use super::super::acl;
use super::super::format::{ATTRIBUTE_LEAF_MAGIC, REMOTE_VALUE_MAGIC, attribute};
use super::super::hash::hash;
use super::super::header::{HeaderOffsets, put};
use super::super::superblock::Superblock;
use super::index::{INFO, IndexShape, info};
use super::pages::{Page, Push, Segment, short, word};
use std::collections::BTreeMap;

const LEAF_HEADER: usize = 80;
const LEAF_ENTRY: usize = 8;
/// Bytes before a name in a leaf: with a local value, and with a remote value.
const LOCAL_NAME: usize = 3;
const REMOTE_NAME: usize = 9;
/// Two bytes of compiler padding after the name, which became part of the format.
const REMOTE_PADDING: usize = 2;
const NAME_ALIGNMENT: usize = 4;
const REMOTE_HEADER: usize = 56;
const NAME_MAX: usize = 255;
/// Remote values were never in the log: `NULLCOMMITLSN`.
const NEVER_LOGGED: u64 = u64::MAX;
const REMOTE_LSN: usize = 48;

/// An attribute in its on-disk form.
pub(super) struct Attribute {
    hash: u32,
    flags: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Attribute {
    /// Converts a node's attributes from the kernel's names and values, in the order of the index. The error is the
    /// reason why one cannot be stored.
    pub(super) fn all(shown: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        for (name, value) in shown {
            let describe = |problem| format!("attribute `{}` {problem}", String::from_utf8_lossy(name));
            all.push(Self::new(name, value).map_err(describe)?);
        }
        all.sort_by(|a, b| (a.hash, a.flags, &a.name).cmp(&(b.hash, b.flags, &b.name)));
        Ok(all)
    }

    fn new(shown: &[u8], value: &[u8]) -> Result<Self, &'static str> {
        let namespaces: [(&[u8], u8); 3] =
            [(b"user.", 0), (b"trusted.", attribute::ROOT), (b"security.", attribute::SECURE)];
        let (flags, name, value) = if let Some((_, disk)) = acl::NAMES.iter().find(|(acl, _)| *acl == shown) {
            (attribute::ROOT, *disk, acl::to_disk(value).ok_or("is not a POSIX ACL")?)
        } else {
            let plain = |(prefix, flags)| Some((flags, shown.strip_prefix(prefix)?));
            let (flags, name) =
                namespaces.into_iter().find_map(plain).ok_or("is not in a namespace of XFS")?;
            (flags, name, value.to_vec())
        };
        if name.is_empty() || name.len() > NAME_MAX {
            return Err("has a name that is not 1 to 255 bytes long after the namespace");
        }
        if value.len() > attribute::MAX_VALUE {
            return Err("is longer than 64 KiB");
        }
        Ok(Self { hash: hash(name), flags, name: name.to_vec(), value })
    }

    /// Whether the value is stored in the leaf. Source: xfs_attr_leaf_entsize_local_max.
    fn is_local(&self, block: usize) -> bool {
        self.local_size() < (block >> 1) + (block >> 2)
    }

    fn local_size(&self) -> usize {
        (LOCAL_NAME + self.name.len() + self.value.len()).next_multiple_of(NAME_ALIGNMENT)
    }

    /// Bytes of the name, and of a local value, in a leaf.
    fn size(&self, block: usize) -> usize {
        if self.is_local(block) {
            self.local_size()
        } else {
            (REMOTE_NAME + self.name.len() + REMOTE_PADDING).next_multiple_of(NAME_ALIGNMENT)
        }
    }

    /// Number of blocks of a remote value.
    fn remote_blocks(&self, block: usize) -> usize {
        if self.is_local(block) { 0 } else { self.value.len().div_ceil(block - REMOTE_HEADER) }
    }

    fn push(&self, names: &mut [u8], at: usize, block: usize, remote: usize) {
        let mut bytes = Vec::with_capacity(self.size(block));
        let name_length = u8::try_from(self.name.len()).expect("names were checked to be short");
        if self.is_local(block) {
            bytes.u16(short(self.value.len()));
            bytes.push(name_length);
            bytes.extend(&self.name);
            bytes.extend(&self.value);
        } else {
            bytes.u32(word(remote));
            bytes.u32(word(self.value.len()));
            bytes.push(name_length);
            bytes.extend(&self.name);
        }
        put(names, at, &bytes);
    }

    fn remote_pages(&self, block: usize) -> Vec<Page> {
        let room = block - REMOTE_HEADER;
        let page = |(number, part): (usize, &[u8])| Page {
            header: HeaderOffsets::REMOTE,
            bytes: remote_page(REMOTE_VALUE_MAGIC, number * room, part, block, NEVER_LOGGED),
        };
        self.value.chunks(room).enumerate().map(page).collect()
    }
}

/// A block of a value or a link target, starting at byte `offset` of it.
pub(super) fn remote_page(magic: u32, offset: usize, part: &[u8], block: usize, lsn: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(block);
    bytes.u32(magic);
    bytes.u32(word(offset));
    bytes.u32(word(part.len()));
    bytes.resize(REMOTE_LSN, 0);
    bytes.u64(lsn);
    bytes.extend(part);
    bytes.resize(block, 0);
    bytes
}

/// Bytes of a value or a target that fit into one such block.
pub(super) fn remote_room(block: usize) -> usize {
    block - REMOTE_HEADER
}

/// The short form inside the inode, if the attributes fit.
pub(super) fn short_form(attributes: &[Attribute]) -> Option<Vec<u8>> {
    let mut bytes = vec![0, 0, u8::try_from(attributes.len()).ok()?, 0];
    for attribute in attributes {
        bytes.push(u8::try_from(attribute.name.len()).ok()?);
        bytes.push(u8::try_from(attribute.value.len()).ok()?);
        bytes.push(attribute.flags);
        bytes.extend(&attribute.name);
        bytes.extend(&attribute.value);
    }
    let length = u16::try_from(bytes.len()).ok()?;
    put(&mut bytes, 0, &length.to_be_bytes());
    Some(bytes)
}

/// The form in blocks.
pub(super) fn pages(attributes: &[Attribute], superblock: &Superblock) -> Segment {
    let block = superblock.block();
    let parts = parts(attributes, block);
    let shape = IndexShape { block, first: 0, step: 1 };
    let mut remote = shape.pages(parts.len());
    let leaves = parts.into_iter().map(|part| leaf(part, block, &mut remote)).collect();
    let mut pages = shape.build(leaves);
    pages.extend(attributes.iter().flat_map(|attribute| {
        if attribute.is_local(block) { Vec::new() } else { attribute.remote_pages(block) }
    }));
    Segment { offset: 0, pages }
}

/// The attributes of each leaf.
fn parts(attributes: &[Attribute], block: usize) -> Vec<&[Attribute]> {
    let mut parts = Vec::new();
    let (mut start, mut used) = (0, LEAF_HEADER);
    for (index, attribute) in attributes.iter().enumerate() {
        let size = LEAF_ENTRY + attribute.size(block);
        if used + size > block {
            parts.push(&attributes[start..index]);
            (start, used) = (index, LEAF_HEADER);
        }
        used += size;
    }
    parts.push(&attributes[start..]);
    parts
}

/// A leaf and its greatest hash. Remote values are placed at `remote`, which is advanced.
fn leaf(attributes: &[Attribute], block: usize, remote: &mut usize) -> (Vec<u8>, u32) {
    let mut bytes = info(ATTRIBUTE_LEAF_MAGIC.0);
    bytes.resize(LEAF_HEADER, 0);
    bytes.resize(block, 0);
    let mut names = block;
    for (index, attribute) in attributes.iter().enumerate() {
        names -= attribute.size(block);
        let is_local = attribute.is_local(block);
        attribute.push(&mut bytes, names, block, *remote);
        *remote += attribute.remote_blocks(block);
        let mut entry = Vec::with_capacity(LEAF_ENTRY);
        entry.u32(attribute.hash);
        entry.u16(short(names));
        entry.push(attribute.flags | if is_local { attribute::LOCAL } else { 0 });
        put(&mut bytes, LEAF_HEADER + index * LEAF_ENTRY, &entry);
    }
    let free = LEAF_HEADER + attributes.len() * LEAF_ENTRY;
    let mut header = Vec::new();
    header.u16(short(attributes.len()));
    header.u16(short(block - names));
    header.u16(short(names));
    // No holes between names, and one free range.
    header.u16(0);
    header.u16(short(free));
    header.u16(short(names - free));
    put(&mut bytes, INFO, &header);
    (bytes, attributes.last().map_or(0, |attribute| attribute.hash))
}
