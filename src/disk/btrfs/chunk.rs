//! Chunks: the mapping from logical to physical addresses.

use super::bytes::{In, Out};
use super::format::{Key, STRIPE_LENGTH, kind, object, profile};
use super::superblock::{Device, OFFSETS, SYSTEM_CHUNKS_AT, Superblock};
use crate::disk::source::ReadError;
use std::collections::BTreeMap;

/// A range of logical addresses, and the physical ranges that each contain a full copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Logical address.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// See [`profile`].
    pub flags: u64,
    /// Physical addresses: one for `single`, two for `DUP`.
    pub copies: Vec<u64>,
}

impl Chunk {
    /// Parses the untrusted value of a CHUNK_ITEM; `total` is the filesystem's size in bytes.
    fn parse(start: u64, input: &mut In, total: u64) -> Option<Result<Chunk, ReadError>> {
        let (length, _owner, _stripe, flags) = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        input.skip(12)?;
        let (stripes, _sub_stripes) = (input.u16()?, input.u16()?);
        let mut copies = Vec::new();
        for _ in 0..stripes {
            let (_device, offset) = (input.u64()?, input.u64()?);
            input.skip(16)?;
            copies.push(offset);
        }
        if flags & !profile::KNOWN != 0 {
            return Some(Err(ReadError::Unsupported(format!(
                "a btrfs chunk has a profile other than single and DUP (flags {flags:#x})"
            ))));
        }
        let expected = if flags & profile::DUP == 0 { 1 } else { 2 };
        let inside = |offset: &u64| offset.checked_add(length).is_some_and(|end| end <= total);
        let sound = copies.len() == expected
            && copies.iter().all(inside)
            && length > 0
            && start.checked_add(length).is_some()
            && flags & profile::TYPES != 0;
        sound.then_some(Ok(Chunk { start, length, flags, copies }))
    }

    /// The value of the chunk's CHUNK_ITEM.
    pub(super) fn encode(&self, device: &Device) -> Vec<u8> {
        let out = Out::new()
            .u64s(&[self.length, object::EXTENT_TREE, STRIPE_LENGTH, self.flags])
            // io_align, io_width, sector_size
            .u32(STRIPE_LENGTH as u32)
            .u32(STRIPE_LENGTH as u32)
            .u32(device.sector)
            .u16(self.copies.len() as u16)
            // sub_stripes
            .u16(1);
        let stripe =
            |out: Out, offset: &u64| out.u64s(&[device.number, *offset]).bytes(device.uuid.as_bytes());
        self.copies.iter().fold(out, stripe).done()
    }

    pub(super) fn key(&self) -> Key {
        Key::new(object::FIRST_CHUNK, kind::CHUNK_ITEM, self.start)
    }

    /// Logical address of the first byte after the chunk.
    pub(super) fn end(&self) -> u64 {
        self.start + self.length
    }
}

/// All known chunks by logical address.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunks(BTreeMap<u64, Chunk>);

impl Chunks {
    /// The chunks in the superblock, which are needed to read the chunk tree.
    pub(super) fn of_superblock(superblock: &Superblock) -> Result<Chunks, ReadError> {
        let mut chunks = Chunks::default();
        let mut input = In(&superblock.system_chunks);
        while !input.is_empty() {
            let at = SYSTEM_CHUNKS_AT + (superblock.system_chunks.len() - input.0.len()) as u64;
            let key =
                Key::parse(&mut input).ok_or_else(|| damaged(at, "the system chunk array is truncated"))?;
            if key.kind != kind::CHUNK_ITEM {
                return Err(damaged(at, "the system chunk array contains an item that is not a chunk"));
            }
            chunks.add(key.offset, &mut input, at, superblock.total)?;
        }
        Ok(chunks)
    }

    /// Adds the chunk of a CHUNK_ITEM at the physical byte `at`. It must not overlap another chunk; adding the same
    /// chunk again is allowed.
    pub(super) fn add(&mut self, start: u64, input: &mut In, at: u64, total: u64) -> Result<(), ReadError> {
        let chunk = Chunk::parse(start, input, total)
            .ok_or_else(|| damaged(at, format!("the chunk at logical byte {start} is invalid")))??;
        if self.0.get(&start) == Some(&chunk) {
            return Ok(());
        }
        let before = self.0.range(..chunk.end()).next_back();
        if before.is_some_and(|(_, before)| before.end() > start) {
            return Err(damaged(at, format!("the chunk at logical byte {start} overlaps another")));
        }
        self.0.insert(start, chunk);
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.0.values()
    }

    /// The chunk that contains a logical address.
    pub(super) fn at(&self, logical: u64) -> Option<&Chunk> {
        self.0.range(..=logical).next_back().map(|(_, chunk)| chunk).filter(|chunk| logical < chunk.end())
    }

    /// The chunk that contains a physical address, and the logical address.
    pub(super) fn at_physical(&self, physical: u64) -> Option<(&Chunk, u64)> {
        self.0.values().find_map(|chunk| {
            let holds = |copy: &&u64| (**copy..**copy + chunk.length).contains(&physical);
            let copy = chunk.copies.iter().find(holds)?;
            Some((chunk, chunk.start + (physical - copy)))
        })
    }

    /// The physical locations of a logical range: for each chunk, the number of bytes and every copy.
    pub(super) fn map(&self, logical: u64, length: u64) -> Result<Vec<Mapped>, ReadError> {
        // The reference may be anywhere; report the superblock, from which the chunks are found.
        let unmapped =
            || damaged(OFFSETS[0], format!("no chunk contains the logical bytes {logical} + {length}"));
        let end = logical.checked_add(length).ok_or_else(unmapped)?;
        let mut pieces = Vec::new();
        let mut at = logical;
        while at < end {
            let chunk = self.at(at).ok_or_else(unmapped)?;
            let within = at - chunk.start;
            let length = (end - at).min(chunk.length - within);
            pieces.push(Mapped { length, copies: chunk.copies.iter().map(|copy| copy + within).collect() });
            at += length;
        }
        Ok(pieces)
    }
}

/// A part of a range that is inside one chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// Length in bytes.
    pub length: u64,
    /// Physical addresses.
    pub copies: Vec<u64>,
}

fn damaged(at: u64, problem: impl Into<String>) -> ReadError {
    ReadError::Damaged { structure: "chunk map".into(), at, problem: problem.into() }
}
