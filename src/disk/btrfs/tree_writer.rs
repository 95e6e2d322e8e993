//! Builds a whole tree from its items, leaves first, with blocks as full as possible.

use super::block::{FLAGS, HEADER, ITEM, POINTER};
use super::bytes::Out;
use super::checksum::ChecksumType;
use super::format::Key;
use super::superblock::Root;
use super::writer::WriteError;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeItem {
    pub key: Key,
    pub value: Vec<u8>,
}

impl TreeItem {
    pub(super) fn new(object: u64, kind: u8, offset: u64, value: Vec<u8>) -> TreeItem {
        TreeItem { key: Key::new(object, kind, offset), value }
    }
}

/// The longest value of an item, in bytes. Source: `BTRFS_MAX_ITEM_SIZE`.
pub(super) fn max_value(node_size: u32) -> usize {
    node_size as usize - HEADER - ITEM
}

/// The distribution of items over blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Number of items in each leaf.
    leaves: Vec<usize>,
    /// Number of blocks at each level, from the leaves to the root.
    levels: Vec<usize>,
}

impl Shape {
    /// `sizes` are those of the items' values.
    pub(super) fn of(sizes: impl Iterator<Item = usize>, node_size: u32) -> Shape {
        let room = node_size as usize - HEADER;
        let mut leaves = vec![0];
        let mut used = 0;
        for size in sizes {
            if used + ITEM + size > room {
                leaves.push(0);
                used = 0;
            }
            used += ITEM + size;
            *leaves.last_mut().expect("leaves is never empty") += 1;
        }
        let mut levels = vec![leaves.len()];
        while let Some(&below) = levels.last()
            && below > 1
        {
            levels.push(below.div_ceil(pointers(node_size)));
        }
        Shape { leaves, levels }
    }

    pub(super) fn of_items(items: &[TreeItem], node_size: u32) -> Shape {
        Shape::of(items.iter().map(|item| item.value.len()), node_size)
    }

    pub(super) fn blocks(&self) -> usize {
        self.levels.iter().sum()
    }

    /// The level of each block in the order in which they are written.
    pub(super) fn block_levels(&self) -> impl Iterator<Item = u8> {
        self.levels.iter().enumerate().flat_map(|(level, count)| std::iter::repeat_n(level as u8, *count))
    }

    /// The root of a tree whose blocks are contiguous from `first` on.
    pub(super) fn root(&self, first: u64, node_size: u32, generation: u64) -> Root {
        let address = first + (self.blocks() as u64 - 1) * u64::from(node_size);
        Root { address, level: self.levels.len() as u8 - 1, generation }
    }
}

/// The most children of an inner block.
fn pointers(node_size: u32) -> usize {
    (node_size as usize - HEADER) / POINTER
}

/// Properties common to all blocks of a filesystem.
#[derive(Clone, Debug)]
pub(super) struct BlockStyle {
    pub node_size: u32,
    pub checksum: ChecksumType,
    pub fsid: Uuid,
    pub chunk_tree: Uuid,
    pub generation: u64,
}

/// A callback for a block and its logical address.
pub(super) type Emit<'e> = dyn FnMut(u64, &[u8]) -> Result<(), WriteError> + 'e;

/// Writes a tree of `items`: calls `emit` for each block with its logical address, starting at `first`.
pub(super) fn write_tree(
    items: &[TreeItem],
    shape: &Shape,
    owner: u64,
    first: u64,
    style: &BlockStyle,
    emit: &mut Emit,
) -> Result<(), WriteError> {
    let mut address = first;
    let mut send = |address: &mut u64, level: usize, count: usize, content: Vec<u8>| {
        let header = HeaderFields { address: *address, owner, count, level: level as u8 };
        emit(*address, &style.block(&header, &content))?;
        *address += u64::from(style.node_size);
        Ok::<(), WriteError>(())
    };
    let mut children = Vec::new();
    let mut rest = items;
    for count in &shape.leaves {
        let (these, others) = rest.split_at(*count);
        rest = others;
        children.push((these.first().map_or(Key::new(0, 0, 0), |item| item.key), address));
        send(&mut address, 0, *count, leaf(these, style.node_size))?;
    }
    for level in 1..shape.levels.len() {
        let mut parents = Vec::new();
        for below in children.chunks(pointers(style.node_size)) {
            parents.push((below[0].0, address));
            let pointer = |out: Out, (key, child): &(Key, u64)| {
                out.bytes(&key.encode()).u64s(&[*child, style.generation])
            };
            send(&mut address, level, below.len(), below.iter().fold(Out::new(), pointer).done())?;
        }
        children = parents;
    }
    Ok(())
}

/// A leaf's bytes after the header: the items from the front, their values from the back.
fn leaf(items: &[TreeItem], node_size: u32) -> Vec<u8> {
    let mut content = vec![0; node_size as usize - HEADER];
    let mut end = content.len();
    for (index, item) in items.iter().enumerate() {
        let start = end - item.value.len();
        content[start..end].copy_from_slice(&item.value);
        end = start;
        let entry =
            Out::new().bytes(&item.key.encode()).u32(start as u32).u32(item.value.len() as u32).done();
        content[index * ITEM..(index + 1) * ITEM].copy_from_slice(&entry);
    }
    content
}

struct HeaderFields {
    address: u64,
    owner: u64,
    count: usize,
    level: u8,
}

impl BlockStyle {
    fn block(&self, header: &HeaderFields, content: &[u8]) -> Vec<u8> {
        let mut block = Out::new()
            .zeros(32)
            .bytes(self.fsid.as_bytes())
            .u64s(&[header.address, FLAGS])
            .bytes(self.chunk_tree.as_bytes())
            .u64s(&[self.generation, header.owner])
            .u32(header.count as u32)
            .u8(header.level)
            .bytes(content)
            .done();
        block.resize(self.node_size as usize, 0);
        let sum = self.checksum.of(&block[32..]);
        block[..32].copy_from_slice(&sum);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_full_and_there_is_one_root() {
        let empty = Shape::of(std::iter::empty(), 4096);
        assert_eq!((empty.blocks(), empty.levels.len()), (1, 1));
        // A leaf of 3995 bytes holds 26 items of 25 + 125 bytes; a block holds 121 pointers.
        let shape = Shape::of(std::iter::repeat_n(125, 26 * 122), 4096);
        assert_eq!(shape.levels, [122, 2, 1]);
        assert_eq!(shape.root(1 << 20, 4096, 1).address, (1 << 20) + 124 * 4096);
        assert_eq!(shape.block_levels().last(), Some(2));
    }
}
