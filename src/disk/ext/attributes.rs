//! Extended attributes. They are stored in the inode after its fields, in a separate block that inodes may share, or,
//! for large values, in separate inodes. Access control lists are converted to the form of getxattr(2).
//!
//! Source: kernel, `Documentation/filesystems/ext4/attributes.rst`; for ACLs `fs/ext4/acl.h` and acl(5).

use super::inode::Inode;
use super::mapping::{Budget, mapping};
use super::reader::Ext;
use crate::disk::bytes::{damaged, read, u16_at, u32_at};
use crate::disk::source::ReadError;
use std::collections::BTreeMap;

pub(super) const MAGIC: u32 = 0xea02_0000;
/// Bytes before the entries of a block. In an inode, only the magic number comes before the entries.
const BLOCK_HEADER: usize = 32;
/// Bytes of an entry before its name.
pub(super) const ENTRY_HEADER: usize = 16;
/// The kernel's limit, in bytes.
const LARGEST_VALUE: u64 = 65_536;
/// Name of the attribute, under `system.`, that holds the part of inline data that does not fit into the inode's map.
pub(super) const INLINE_DATA: &[u8] = b"data";
/// Name index of the prefix `system.`.
pub(super) const SYSTEM: u8 = 7;

#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// Attributes by full name, as getxattr(2) returns them.
    pub named: BTreeMap<Vec<u8>, Vec<u8>>,
    pub inline_data: Option<InlineData>,
}

/// The part of an inline file or directory that is stored as an attribute.
#[derive(Debug)]
pub(super) struct InlineData {
    pub bytes: Vec<u8>,
    /// Bytes from the filesystem's start; if the value has its own inode, those of the entry that refers to it.
    pub at: u64,
}

pub(super) fn attributes(ext: &Ext, inode: &Inode, budget: &mut Budget) -> Result<Attributes, ReadError> {
    let mut found = Attributes::default();
    if let Some(start) = inode.extra_end()
        && u32_at(&inode.bytes, start) == MAGIC
    {
        let area = Area {
            owner: inode,
            bytes: &inode.bytes[start + 4..],
            first: 0,
            at: inode.at + start as u64 + 4,
        };
        area.collect(ext, budget, &mut found)?;
    }
    let block = inode.attribute_block();
    if block != 0 {
        let size = ext.superblock.block_size;
        if block >= ext.superblock.blocks {
            return Err(damaged(
                format!("inode {}", inode.number),
                inode.at + 0x68,
                format!("attribute block {block} is outside the filesystem"),
            ));
        }
        budget.spend(1, block * size)?;
        let bytes = read(ext.source, block * size, size as usize)?;
        if u32_at(&bytes, 0) != MAGIC {
            let problem = format!("the magic number is {:#x}, expected {MAGIC:#x}", u32_at(&bytes, 0));
            return Err(damaged(format!("attributes of inode {}", inode.number), block * size, problem));
        }
        let area = Area { owner: inode, bytes: &bytes, first: BLOCK_HEADER, at: block * size };
        area.collect(ext, budget, &mut found)?;
    }
    Ok(found)
}

/// Entries with their values.
struct Area<'b> {
    owner: &'b Inode,
    /// Value offsets are relative to the start of these bytes.
    bytes: &'b [u8],
    /// Offset of the first entry in `bytes`.
    first: usize,
    /// Bytes from the filesystem's start.
    at: u64,
}

impl Area<'_> {
    fn damaged(&self, place: usize, problem: &str) -> ReadError {
        damaged(format!("attributes of inode {}", self.owner.number), self.at + place as u64, problem)
    }

    fn collect(&self, ext: &Ext, budget: &mut Budget, found: &mut Attributes) -> Result<(), ReadError> {
        let mut place = self.first;
        // Total size of the values in this area, which must not overlap.
        let mut taken = 0;
        // The entries end at four zero bytes or at the end of the area.
        while self.bytes.get(place..place + 4).is_some_and(|bytes| bytes != [0; 4]) {
            let header = self
                .bytes
                .get(place..place + ENTRY_HEADER)
                .ok_or_else(|| self.damaged(place, "an entry is truncated"))?;
            let name_end = place + ENTRY_HEADER + usize::from(header[0]);
            let name = self
                .bytes
                .get(place + ENTRY_HEADER..name_end)
                .ok_or_else(|| self.damaged(place, "a name is truncated"))?;
            if u32_at(header, 4) == 0 {
                taken += u64::from(u32_at(header, 8));
            }
            if taken > self.bytes.len() as u64 {
                return Err(self.damaged(place, "the values are larger than the attribute area"));
            }
            if let Some(full) = full_name(header[1], name) {
                let value = self.value(ext, header, place, budget)?;
                let value = if full.starts_with(b"system.posix_acl_") {
                    access_list(&value)
                        .ok_or_else(|| self.damaged(place, "an access control list is malformed"))?
                } else {
                    value
                };
                found.named.insert(full, value);
            } else if header[1] == SYSTEM && name == INLINE_DATA {
                let is_here = u32_at(header, 4) == 0;
                let at = if is_here { usize::from(u16_at(header, 2)) } else { place };
                let bytes = self.value(ext, header, place, budget)?;
                found.inline_data = Some(InlineData { bytes, at: self.at + at as u64 });
            }
            place = name_end.next_multiple_of(4);
        }
        Ok(())
    }

    fn value(
        &self,
        ext: &Ext,
        header: &[u8],
        place: usize,
        budget: &mut Budget,
    ) -> Result<Vec<u8>, ReadError> {
        let size = u32_at(header, 8);
        budget.keep(u64::from(size), self.at + place as u64)?;
        let inode = u32_at(header, 4);
        if inode != 0 {
            return self.value_of_inode(ext, inode, u64::from(size), place, budget);
        }
        let start = usize::from(u16_at(header, 2));
        let value = (start.checked_add(size as usize)).and_then(|end| self.bytes.get(start..end));
        Ok(value.ok_or_else(|| self.damaged(place, "a value is outside the attribute area"))?.to_vec())
    }

    fn value_of_inode(
        &self,
        ext: &Ext,
        number: u32,
        size: u64,
        place: usize,
        budget: &mut Budget,
    ) -> Result<Vec<u8>, ReadError> {
        let inode = ext.inode(number)?;
        if size > LARGEST_VALUE || !inode.has_flag(super::inode::flag::ATTRIBUTE_VALUE) {
            return Err(
                self.damaged(place, "the value's inode is not a value inode, or the value is too large")
            );
        }
        let mapping = mapping(ext, &inode, budget)?;
        ext.content(&mapping, size)
    }
}

/// `None` for attributes that getxattr(2) does not return: inline data, encryption contexts and verity descriptors.
pub(super) fn full_name(index: u8, name: &[u8]) -> Option<Vec<u8>> {
    let prefix: &[u8] = match index {
        1 => b"user.",
        2 => return Some(b"system.posix_acl_access".to_vec()),
        3 => return Some(b"system.posix_acl_default".to_vec()),
        4 => b"trusted.",
        6 => b"security.",
        SYSTEM if name != INLINE_DATA => b"system.",
        10 => b"gnu.",
        _ => return None,
    };
    Some([prefix, name].concat())
}

/// Converts the on-disk form, where only named users and groups have an ID, to the form of getxattr(2).
fn access_list(stored: &[u8]) -> Option<Vec<u8>> {
    const STORED_VERSION: u32 = 1;
    const GIVEN_VERSION: u32 = 2;
    const NAMED_USER: u16 = 0x2;
    const NAMED_GROUP: u16 = 0x8;
    const NO_ID: u32 = u32::MAX;
    if stored.len() < 4 || u32_at(stored, 0) != STORED_VERSION {
        return None;
    }
    let mut given = GIVEN_VERSION.to_le_bytes().to_vec();
    let mut rest = &stored[4..];
    while !rest.is_empty() {
        let (entry, after) = rest.split_at_checked(4)?;
        rest = after;
        given.extend(entry);
        if matches!(u16_at(entry, 0), NAMED_USER | NAMED_GROUP) {
            let (id, after) = rest.split_at_checked(4)?;
            rest = after;
            given.extend(id);
        } else {
            given.extend(NO_ID.to_le_bytes());
        }
    }
    Some(given)
}
