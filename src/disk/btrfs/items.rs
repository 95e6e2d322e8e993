//! Encoding and decoding of the items in subvolume trees.

use super::bytes::{In, Out};
use super::format::{Key, entry, extent, file_extent, kind, object};
use uuid::Uuid;

/// A directory entry (DIR_ITEM, DIR_INDEX) or an attribute (XATTR_ITEM).
pub(super) struct BtrfsEntry<'a> {
    pub target: Key,
    /// Value of an attribute.
    pub value: &'a [u8],
    pub name: &'a [u8],
}

/// Bytes of an entry before name and value.
pub(super) const ENTRY_HEADER: usize = Key::SIZE + 8 + 2 + 2 + 1;

/// The entries of one item: more than one if their names have the same hash.
pub(super) fn parse_entries(bytes: &[u8]) -> Option<Vec<BtrfsEntry<'_>>> {
    let mut input = In(bytes);
    let mut entries = Vec::new();
    while !input.is_empty() {
        let target = Key::parse(&mut input)?;
        input.skip(8)?;
        let (value, name) = (input.u16()?.into(), input.u16()?.into());
        input.skip(1)?;
        let name = input.bytes(name)?;
        entries.push(BtrfsEntry { target, name, value: input.bytes(value)? });
    }
    Some(entries)
}

/// Encodes an entry of the given type (see [`entry`]).
pub(super) fn encode_entry(target: Key, generation: u64, kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    Out::new()
        .bytes(&target.encode())
        .u64(generation)
        .u16(value.len() as u16)
        .u16(name.len() as u16)
        .u8(kind)
        .bytes(name)
        .bytes(value)
        .done()
}

pub(super) fn encode_attribute(generation: u64, name: &[u8], value: &[u8]) -> Vec<u8> {
    encode_entry(Key::new(0, 0, 0), generation, entry::ATTRIBUTE, name, value)
}

/// One name in an INODE_REF.
pub(super) fn encode_reference(index: u64, name: &[u8]) -> Vec<u8> {
    Out::new().u64(index).u16(name.len() as u16).bytes(name).done()
}

/// One name in an INODE_EXTREF.
pub(super) fn encode_extended_reference(parent: u64, index: u64, name: &[u8]) -> Vec<u8> {
    Out::new().u64(parent).bytes(&encode_reference(index, name)).done()
}

/// The contents of an EXTENT_DATA item.
#[derive(Debug)]
pub(super) enum Stored {
    Inline {
        bytes: Vec<u8>,
        /// Location in bytes from the filesystem's start.
        physical: u64,
    },
    /// A hole, or space that is allocated but not written.
    Zeros {
        /// Length in bytes.
        length: u64,
    },
    Extent {
        /// Address of the range's first byte.
        logical: u64,
        /// Length in bytes.
        length: u64,
    },
    /// The reason.
    Unreadable(String),
}

/// `physical` is the location of the value. Source: `struct btrfs_file_extent_item`.
pub(super) fn parse_extent(value: &[u8], physical: u64) -> Option<Stored> {
    let mut input = In(value);
    input.skip(16)?;
    let (compression, encryption, other, kind) = (input.u8()?, input.u8()?, input.u16()?, input.u8()?);
    if encryption != 0 || other != 0 {
        return Some(Stored::Unreadable("encoded with an unknown method".into()));
    }
    if compression != 0 {
        let names = ["", "zlib", "lzo", "zstd"];
        let name = names.get(usize::from(compression)).unwrap_or(&"an unknown method");
        return Some(Stored::Unreadable(format!("compressed with {name}")));
    }
    if kind == file_extent::INLINE {
        let physical = physical.checked_add(file_extent::HEADER as u64)?;
        return Some(Stored::Inline { bytes: input.0.to_vec(), physical });
    }
    let (start, _, offset, length) = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
    Some(match kind {
        file_extent::PREALLOCATED => Stored::Zeros { length },
        file_extent::REGULAR if start == 0 => Stored::Zeros { length },
        file_extent::REGULAR => Stored::Extent { logical: start.checked_add(offset)?, length },
        _ => Stored::Unreadable("unknown extent type".into()),
    })
}

/// The start of an uncompressed EXTENT_DATA: `generation`, `ram_bytes`, three encodings, `type`.
fn extent_header(generation: u64, length: u64, kind: u8) -> Out {
    Out::new().u64s(&[generation, length]).zeros(4).u8(kind)
}

pub(super) fn encode_inline(generation: u64, bytes: &[u8]) -> Vec<u8> {
    extent_header(generation, bytes.len() as u64, file_extent::INLINE).bytes(bytes).done()
}

/// A whole extent of a file; a hole if `logical` is 0.
pub(super) fn encode_extent(generation: u64, logical: u64, length: u64) -> Vec<u8> {
    let on_disk = if logical == 0 { 0 } else { length };
    extent_header(generation, length, file_extent::REGULAR).u64s(&[logical, on_disk, 0, length]).done()
}

/// The EXTENT_ITEM of file data with its only reference.
pub(super) fn encode_data_reference(generation: u64, inode: u64, at: u64) -> Vec<u8> {
    Out::new()
        .u64s(&[1, generation, extent::DATA])
        .u8(kind::EXTENT_DATA_REF)
        .u64s(&[object::FS_TREE, inode, at])
        .u32(1)
        .done()
}

/// The METADATA_ITEM of a tree block with its only reference.
pub(super) fn encode_block_reference(generation: u64, owner: u64) -> Vec<u8> {
    Out::new().u64s(&[1, generation, extent::TREE_BLOCK]).u8(kind::TREE_BLOCK_REF).u64(owner).done()
}

/// The fields of a ROOT_ITEM that differ between trees.
pub(super) struct RootItem {
    pub root: super::superblock::Root,
    /// Total size of its blocks in bytes.
    pub used: u64,
    /// Inode number of the root directory, or 0.
    pub directory: u64,
    /// UUID of the default subvolume.
    pub uuid: Uuid,
    /// Creation time in seconds since 1970.
    pub time: i64,
}

/// Source: `struct btrfs_root_item`.
pub(super) fn encode_root(item: &RootItem, node_size: u32) -> Vec<u8> {
    let inode = super::inode::Inode {
        generation: 1,
        size: 3,
        bytes: node_size.into(),
        links: 1,
        mode: 0o040_755,
        ..super::inode::Inode::default()
    };
    let generation = item.root.generation;
    Out::new()
        .bytes(&inode.encode())
        // generation, root_dirid, bytenr, byte_limit, bytes_used, last_snapshot, flags
        .u64s(&[generation, item.directory, item.root.address, 0, item.used, 0, 0])
        // refs, drop_progress, drop_level
        .u32(1)
        .zeros(Key::SIZE + 1)
        .u8(item.root.level)
        .u64(generation)
        .bytes(item.uuid.as_bytes())
        // parent_uuid, received_uuid; ctransid, otransid, stransid, rtransid
        .zeros(2 * 16 + 4 * 8)
        // ctime, otime
        .u64(item.time as u64)
        .u32(0)
        .u64(item.time as u64)
        .u32(0)
        // stime, rtime, reserved
        .zeros(2 * 12 + 64)
        .done()
}
