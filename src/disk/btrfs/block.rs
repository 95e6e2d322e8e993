//! Parsing and validation of a tree block.

use super::bytes::In;
use super::format::{Key, MAX_LEVEL};
use super::superblock::{Root, Superblock};

/// Bytes before the items or pointers.
pub(super) const HEADER: usize = 101;
/// Size of an item in a leaf in bytes: key, offset, size.
pub(super) const ITEM: usize = Key::SIZE + 8;
/// Size of a pointer in an inner block in bytes: key, address, generation.
pub(super) const POINTER: usize = Key::SIZE + 16;
/// Header flags: the block was written (bit 0), and uses the second form of back references (revision 1 in the top
/// byte).
pub(super) const FLAGS: u64 = 1 | 1 << 56;

/// The validated contents of a block.
pub(super) enum Entries {
    /// Keys, and the range of each value in the block.
    Leaf(Vec<(Key, std::ops::Range<usize>)>),
    Inner(Vec<(Key, Root)>),
}

/// A tree block's header.
pub(super) struct BlockHeader {
    pub address: u64,
    pub generation: u64,
    pub owner: u64,
    pub items: u32,
    pub level: u8,
}

impl BlockHeader {
    pub(super) fn parse(block: &[u8]) -> Option<BlockHeader> {
        let mut input = In(block);
        input.skip(48)?;
        let address = input.u64()?;
        input.skip(24)?;
        let (generation, owner, items, level) = (input.u64()?, input.u64()?, input.u32()?, input.u8()?);
        Some(BlockHeader { address, generation, owner, items, level })
    }
}

/// Compares a block, whose checksum is valid, with its parent's pointer and returns its entries. The error is the
/// reason.
pub(super) fn parse(block: &[u8], expected: Root, superblock: &Superblock) -> Result<Entries, String> {
    let header = BlockHeader::parse(block).ok_or("too short")?;
    if header.address != expected.address {
        return Err(format!("the header has the logical address {}", header.address));
    }
    if header.level != expected.level || header.level >= MAX_LEVEL {
        return Err(format!("the level is {}, expected {}", header.level, expected.level));
    }
    if header.generation != expected.generation {
        return Err(format!("the generation is {}, expected {}", header.generation, expected.generation));
    }
    let fsid = if superblock.incompat & super::format::incompat::METADATA_UUID == 0 {
        superblock.fsid
    } else {
        superblock.metadata_uuid
    };
    if block[32..48] != *fsid.as_bytes() {
        return Err("the block belongs to another filesystem".into());
    }
    let content = &block[HEADER..];
    let entries = if header.level == 0 {
        leaf(content, header.items as usize).map(Entries::Leaf)
    } else {
        inner(content, header.items as usize, header.level - 1).map(Entries::Inner)
    };
    let entries = entries.ok_or_else(|| "items are outside the block or overlap".to_owned())?;
    let keys: Vec<Key> = match &entries {
        Entries::Leaf(items) => items.iter().map(|(key, _)| *key).collect(),
        Entries::Inner(children) => children.iter().map(|(key, _)| *key).collect(),
    };
    if !keys.is_sorted_by(|one, next| one < next) {
        return Err("keys are not in order".into());
    }
    Ok(entries)
}

fn leaf(content: &[u8], count: usize) -> Option<Vec<(Key, std::ops::Range<usize>)>> {
    let mut input = In(content);
    if count > content.len() / ITEM {
        return None;
    }
    let mut items = Vec::with_capacity(count);
    // Values are stored without gaps from the end of the block, so no byte belongs to two of them.
    let mut end = content.len();
    for _ in 0..count {
        let key = Key::parse(&mut input)?;
        let (offset, size) = (input.u32()? as usize, input.u32()? as usize);
        if offset.checked_add(size)? != end || offset < count * ITEM {
            return None;
        }
        items.push((key, HEADER + offset..HEADER + end));
        end = offset;
    }
    Some(items)
}

fn inner(content: &[u8], count: usize, level: u8) -> Option<Vec<(Key, Root)>> {
    let mut input = In(content);
    if count == 0 || count > content.len() / POINTER {
        return None;
    }
    (0..count)
        .map(|_| {
            let key = Key::parse(&mut input)?;
            Some((key, Root { address: input.u64()?, level, generation: input.u64()? }))
        })
        .collect()
}
