//! Directories, in the smallest of the four forms that fits their names: in the inode; one block; data blocks with one
//! index block; data blocks with an index and free space lists.
//!
//! Source: struct xfs_dir2_sf_hdr, xfs_dir3_data_hdr, xfs_dir3_leaf_hdr, xfs_dir3_free_hdr in xfs_da_format.h.

use super::super::format::{
    DIRECTORY_BLOCK_MAGIC, DIRECTORY_DATA_MAGIC, DIRECTORY_FREE_MAGIC, DIRECTORY_FREE_OFFSET,
    DIRECTORY_INDEX_OFFSET, DIRECTORY_LEAF1_MAGIC, DIRECTORY_LEAFN_MAGIC, UNUSED_TAG,
};
use super::super::hash::hash;
use super::super::header::{HeaderOffsets, put};
use super::super::superblock::Superblock;
use super::index::{IndexShape, info};
use super::pages::{Page, Push, Segment, shares, short, word};

/// Header size in bytes of all blocks except inner index blocks.
const HEADER: usize = 64;
/// Offset in a data block's header: the three largest unused ranges.
const BEST_FREE: usize = 48;
/// Size of an index entry in bytes: hash and address.
const INDEX_ENTRY: usize = 8;
/// Unit of addresses, and alignment of entries, in bytes.
const UNIT: usize = 8;
/// Tail of a one-block directory, and of the index block of a leaf-form directory.
const BLOCK_TAIL: usize = 8;
const LEAF_TAIL: usize = 4;
/// Bytes per block in free space lists.
const BEST: usize = 2;

/// A name in a directory.
#[derive(Clone, Copy)]
pub(super) struct XfsEntry<'a> {
    pub name: &'a [u8],
    pub inode: u64,
    /// As in `xfs_dir3_ftype`.
    pub kind: u8,
}

/// A directory's names, without `.` and `..`.
pub(super) struct Listing<'a> {
    pub inode: u64,
    pub parent: u64,
    pub entries: Vec<XfsEntry<'a>>,
}

/// The type byte of `.` and `..`. Source: XFS_DIR3_FT_DIR.
pub(super) const KIND_DIRECTORY: u8 = 2;

impl<'a> Listing<'a> {
    /// The short form inside the inode, if it fits into `room` bytes.
    pub(super) fn short(&self, superblock: &Superblock, room: usize) -> Option<Vec<u8>> {
        let own = [&b"."[..], b".."].map(entry_size);
        let mut offset = HEADER + own.iter().sum::<usize>();
        let wide = self.entries.iter().map(|entry| entry.inode).chain([self.parent]);
        let wide = wide.filter(|inode| *inode > u32::MAX.into()).count();
        let count = u8::try_from(self.entries.len()).ok()?;
        // The count of numbers that need 8 bytes; if it is not 0, all numbers have 8 bytes.
        let mut bytes = vec![count, u8::try_from(wide).ok()?];
        let number = |bytes: &mut Vec<u8>, inode: u64| match u32::try_from(inode) {
            Ok(inode) if wide == 0 => bytes.u32(inode),
            _ => bytes.u64(inode),
        };
        number(&mut bytes, self.parent);
        for entry in &self.entries {
            bytes.push(u8::try_from(entry.name.len()).ok()?);
            bytes.u16(u16::try_from(offset).ok()?);
            bytes.extend(entry.name);
            bytes.push(entry.kind);
            number(&mut bytes, entry.inode);
            offset += entry_size(entry.name);
        }
        // The kernel must be able to convert it to a one-block directory.
        let as_block = offset + (self.entries.len() + own.len()) * INDEX_ENTRY + BLOCK_TAIL;
        (bytes.len() <= room && as_block <= superblock.directory_block()).then_some(bytes)
    }

    /// The other forms: pages, and the directory's size in bytes.
    pub(super) fn pages(&self, superblock: &Superblock) -> (Vec<Segment>, u64) {
        let block = superblock.directory_block();
        let own = [
            XfsEntry { name: b".", inode: self.inode, kind: KIND_DIRECTORY },
            XfsEntry { name: b"..", inode: self.parent, kind: KIND_DIRECTORY },
        ];
        let all: Vec<_> = own.into_iter().chain(self.entries.iter().copied()).collect();
        let names: usize = all.iter().map(|entry| entry_size(entry.name)).sum();
        let index = all.len() * INDEX_ENTRY;
        if HEADER + names + index + BLOCK_TAIL <= block {
            return (vec![segment(0, vec![one_block(&all, block)])], block as u64);
        }
        let Data { blocks, mut index, best } = data(&all, block);
        index.sort_unstable();
        let size = (blocks.len() * block) as u64;
        let offset = |bytes: u64| bytes >> superblock.block_log;
        let mut segments = vec![segment(0, blocks)];
        let at = offset(DIRECTORY_INDEX_OFFSET);
        if HEADER + index.len() * INDEX_ENTRY + best.len() * BEST + LEAF_TAIL <= block {
            segments.push(Segment { offset: at, pages: vec![only_leaf(&index, &best, block)] });
        } else {
            let shape = IndexShape { block, first: at, step: 1 << superblock.directory_log };
            segments.push(Segment { offset: at, pages: shape.build(leaves(&index, block)) });
            segments.push(segment(offset(DIRECTORY_FREE_OFFSET), free_lists(&best, block)));
        }
        (segments, size)
    }
}

fn segment(offset: u64, blocks: Vec<Vec<u8>>) -> Segment {
    let pages = blocks.into_iter().map(|bytes| Page { header: HeaderOffsets::DIRECTORY, bytes }).collect();
    Segment { offset, pages }
}

/// Entry size in a data block: inode, length, name, type, tag.
fn entry_size(name: &[u8]) -> usize {
    (8 + 1 + name.len() + 1 + 2).next_multiple_of(UNIT)
}

/// Hash and address of a name.
type Indexed = (u32, u32);

fn begin(magic: u32) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    bytes.resize(HEADER, 0);
    bytes
}

/// Adds an entry to a data block at byte `base` of the directory.
fn add(bytes: &mut Vec<u8>, entry: &XfsEntry, base: u64) -> Indexed {
    let start = bytes.len();
    bytes.u64(entry.inode);
    bytes.push(u8::try_from(entry.name.len()).expect("names were checked to have at most 255 bytes"));
    bytes.extend(entry.name);
    bytes.push(entry.kind);
    bytes.resize(start + entry_size(entry.name) - 2, 0);
    bytes.u16(short(start));
    let address = (base + start as u64) / UNIT as u64;
    (hash(entry.name), u32::try_from(address).expect("names lie in the first 32 GiB of a directory"))
}

/// Marks the rest of a block up to `end` as unused. Returns its length.
fn close(bytes: &mut Vec<u8>, end: usize) -> u16 {
    let start = bytes.len();
    let unused = short(end - start);
    if unused > 0 {
        bytes.u16(UNUSED_TAG);
        bytes.u16(unused);
        bytes.resize(end - 2, 0);
        bytes.u16(short(start));
        put(bytes, BEST_FREE, &short(start).to_be_bytes());
        put(bytes, BEST_FREE + 2, &unused.to_be_bytes());
    }
    unused
}

fn one_block(entries: &[XfsEntry], block: usize) -> Vec<u8> {
    let mut bytes = begin(DIRECTORY_BLOCK_MAGIC.0);
    let mut index: Vec<_> = entries.iter().map(|entry| add(&mut bytes, entry, 0)).collect();
    index.sort_unstable();
    close(&mut bytes, block - BLOCK_TAIL - index.len() * INDEX_ENTRY);
    push_index(&mut bytes, &index);
    bytes.u32(word(index.len()));
    // The index has no stale entries.
    bytes.u32(0);
    bytes
}

fn push_index(bytes: &mut Vec<u8>, index: &[Indexed]) {
    for (hash, address) in index {
        bytes.u32(*hash);
        bytes.u32(*address);
    }
}

struct Data {
    blocks: Vec<Vec<u8>>,
    index: Vec<Indexed>,
    /// The largest unused range of each block, in bytes.
    best: Vec<u16>,
}

fn data(entries: &[XfsEntry], block: usize) -> Data {
    let mut data = Data { blocks: Vec::new(), index: Vec::with_capacity(entries.len()), best: Vec::new() };
    let mut bytes = begin(DIRECTORY_DATA_MAGIC.0);
    for entry in entries {
        if bytes.len() + entry_size(entry.name) > block {
            data.best.push(close(&mut bytes, block));
            data.blocks.push(std::mem::replace(&mut bytes, begin(DIRECTORY_DATA_MAGIC.0)));
        }
        data.index.push(add(&mut bytes, entry, (data.blocks.len() * block) as u64));
    }
    data.best.push(close(&mut bytes, block));
    data.blocks.push(bytes);
    data
}

fn leaf(magic: u16, index: &[Indexed], block: usize) -> Vec<u8> {
    let mut bytes = info(magic);
    bytes.u16(short(index.len()));
    bytes.resize(HEADER, 0);
    push_index(&mut bytes, index);
    bytes.resize(block, 0);
    bytes
}

fn only_leaf(index: &[Indexed], best: &[u16], block: usize) -> Page {
    let mut bytes = leaf(DIRECTORY_LEAF1_MAGIC.0, index, block - LEAF_TAIL - best.len() * BEST);
    best.iter().for_each(|best| bytes.u16(*best));
    bytes.u32(word(best.len()));
    Page { header: HeaderOffsets::INDEX, bytes }
}

fn leaves(index: &[Indexed], block: usize) -> Vec<(Vec<u8>, u32)> {
    let mut rest = index;
    shares(index.len(), (block - HEADER) / INDEX_ENTRY)
        .map(|share| {
            let (these, others) = rest.split_at(share);
            rest = others;
            (leaf(DIRECTORY_LEAFN_MAGIC.0, these, block), these.last().map_or(0, |(hash, _)| *hash))
        })
        .collect()
}

fn free_lists(best: &[u16], block: usize) -> Vec<Vec<u8>> {
    let room = (block - HEADER) / BEST;
    let list = |(number, best): (usize, &[u16])| {
        let mut bytes = begin(DIRECTORY_FREE_MAGIC.0);
        let counts = [number * room, best.len(), best.len()].map(|count| word(count).to_be_bytes());
        // After the common header: number of the first data block, number of entries, number of used entries.
        put(&mut bytes, BEST_FREE, &counts.concat());
        best.iter().for_each(|best| bytes.u16(*best));
        bytes.resize(block, 0);
        bytes
    };
    best.chunks(room).enumerate().map(list).collect()
}
