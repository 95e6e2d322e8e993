//! Directories in all four forms: in the inode; one block; data blocks with one or with many index blocks. Listing a
//! directory does not need the index.

use super::super::format::{
    DIRECTORY_BLOCK_MAGIC, DIRECTORY_DATA_MAGIC, DIRECTORY_INDEX_OFFSET, UNUSED_TAG, fork,
};
use super::super::header::HeaderOffsets;
use super::super::view::View;
use super::fork::Mapping;
use super::inode::Inode;
use super::open::{Budget, Xfs, name};
use crate::disk::source::ReadError;
use std::collections::BTreeMap;

/// Names without `.` and `..`, and their inodes.
pub(super) type Names = BTreeMap<Vec<u8>, u64>;

/// Size of a data block's header in bytes: (version 5, version 4).
const HEADER: (usize, usize) = (64, 16);
/// Size of the tail of a one-block directory, which contains a count. Index entries precede it.
const TAIL: usize = 8;
const INDEX_ENTRY: usize = 8;

impl Xfs<'_> {
    pub(super) fn names(&self, inode: &Inode, budget: &mut Budget) -> Result<Names, ReadError> {
        if inode.data.format == fork::LOCAL {
            return self.short_names(inode);
        }
        let mut names = Names::new();
        let index = DIRECTORY_INDEX_OFFSET >> self.superblock.block_log;
        let step = 1_u64 << self.superblock.directory_log;
        let mappings = self.mappings(inode, &inode.data, budget)?;
        let mut parts = mappings.iter().flat_map(blocks).take_while(|(offset, _)| *offset < index);
        while let Some((offset, first)) = parts.next() {
            budget.spend(step, &inode.view())?;
            let (mut bytes, at) = self.block(first, &inode.view())?;
            for further in 1..step {
                match parts.next() {
                    Some((next, number)) if offset % step == 0 && next == offset + further => {
                        bytes.extend(self.block(number, &inode.view())?.0);
                    }
                    _ => {
                        return Err(inode
                            .view()
                            .damaged(format!("the directory block at {offset} is incomplete")));
                    }
                }
            }
            let view = View { bytes: &bytes, name: name("directory block of inode", inode.number), at };
            self.block_names(&view, inode.number, &mut names)?;
        }
        Ok(names)
    }

    fn short_names(&self, inode: &Inode) -> Result<Names, ReadError> {
        let fork = inode.fork(&inode.data)?;
        let length = usize::try_from(inode.size).unwrap_or(usize::MAX);
        let view = View { bytes: fork.slice(0, length)?, ..fork };
        let count = view.u8(0)?;
        let width = if view.u8(1)? == 0 { 4 } else { 8 };
        let mut names = Names::new();
        let mut at = 2 + width;
        for _ in 0..count {
            let length = usize::from(view.u8(at)?);
            let name = view.slice(at + 3, length)?;
            at += 3 + length + usize::from(self.superblock.ftype);
            let number = if width == 4 { view.u32(at)?.into() } else { view.u64(at)? };
            add(&mut names, &view, name, number)?;
            at += width;
        }
        Ok(names)
    }

    fn block_names(&self, view: &View, owner: u64, names: &mut Names) -> Result<(), ReadError> {
        let magic = view.u32(0)?;
        let length = view.bytes.len();
        let end = if magic == self.by_version(DIRECTORY_BLOCK_MAGIC) {
            let count = usize::try_from(view.u32(length - TAIL)?).unwrap_or(usize::MAX);
            let index = count.checked_mul(INDEX_ENTRY).and_then(|index| (length - TAIL).checked_sub(index));
            index
                .ok_or_else(|| view.damaged(format!("the index of {count} names is larger than the block")))?
        } else {
            view.expect("the magic number", magic, self.by_version(DIRECTORY_DATA_MAGIC))?;
            length
        };
        self.check_header(view, HeaderOffsets::DIRECTORY, owner)?;
        let data = View { bytes: &view.bytes[..end], ..*view };
        let mut at = self.by_version(HEADER);
        while at < end {
            if data.u16(at)? == UNUSED_TAG {
                let unused = usize::from(data.u16(at + 2)?);
                if unused == 0 {
                    return Err(view.damaged(format!("unused space of length 0 at {at}")));
                }
                at += unused;
                continue;
            }
            let number = data.u64(at)?;
            let length = usize::from(data.u8(at + 8)?);
            let name = data.slice(at + 9, length)?;
            if name != b"." && name != b".." {
                add(names, &data, name, number)?;
            }
            // Inode, length, name, type, and a tag of two bytes.
            at += (8 + 1 + length + usize::from(self.superblock.ftype) + 2).next_multiple_of(8);
        }
        Ok(())
    }
}

fn add(names: &mut Names, view: &View, name: &[u8], number: u64) -> Result<(), ReadError> {
    let odd = name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0);
    if odd || names.insert(name.to_vec(), number).is_some() {
        return Err(view.damaged(format!("duplicate or invalid name {:?}", String::from_utf8_lossy(name))));
    }
    Ok(())
}

/// Every block of a mapping: (offset in the fork, block number).
fn blocks(mapping: &Mapping) -> impl Iterator<Item = (u64, u64)> + use<> {
    let Mapping { offset, start, count, .. } = *mapping;
    (0..count).map(move |index| (offset + index, start + index))
}
