//! File contents: how they are stored, and copying them.

use super::chunk::Chunks;
use super::format::MAX_EXTENT;
use super::layout::Layout;
use super::superblock::Superblock;
use super::writer::WriteError;
use crate::disk::scan::Scan;
use crate::disk::tree::{Body, Content, Extent, Node, NodeId};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Largest file that is stored inline, in bytes. Source: `BTRFS_DEFAULT_MAX_INLINE`.
const MAX_INLINE: u64 = 2048;

/// Copy buffer in bytes; a multiple of every sector size.
const BUFFER: u64 = 1 << 20;

/// How a node's content is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// In its EXTENT_DATA item.
    Inline(Vec<u8>),
    /// As extents for these ranges of the file: whole sectors, sorted, with holes between them.
    Ranges(Vec<Range<u64>>),
}

/// A piece of a file that becomes one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub node: NodeId,
    /// Offset in the file in bytes.
    pub at: u64,
    /// Logical address.
    pub logical: u64,
    /// Length in bytes, a multiple of the sector size.
    pub length: u64,
}

/// Chooses the storage of each node, and reads the contents that are stored inline.
pub(super) fn storages(scan: &Scan, sector: u32) -> Result<Vec<Storage>, WriteError> {
    scan.tree.nodes.iter().zip(&scan.paths).map(|(node, path)| storage(node, path, sector)).collect()
}

fn storage(node: &Node, path: &Path, sector: u32) -> Result<Storage, WriteError> {
    let extents = match &node.body {
        Body::Link(target) => return Ok(Storage::Inline(target.clone())),
        Body::File(Content::Extents(extents)) => extents,
        Body::File(_) => {
            return Err(WriteError::node(path, "the content is not in a file of the host"));
        }
        _ => return Ok(Storage::Ranges(Vec::new())),
    };
    // Holes are preserved. The kernel stores no files inline that fill a sector.
    if !extents.is_empty() && node.size <= MAX_INLINE && node.size < sector.into() {
        let mut bytes = vec![0; node.size as usize];
        let mut source = SourceFile::open(path)?;
        source.read(extents, node.size, 0, &mut bytes)?;
        return Ok(Storage::Inline(bytes));
    }
    let sector = u64::from(sector);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for extent in extents {
        let end = (extent.at + extent.length).min(node.size).next_multiple_of(sector);
        let start = extent.at / sector * sector;
        match ranges.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ if start < end => ranges.push(start..end),
            _ => {}
        }
    }
    Ok(Storage::Ranges(ranges))
}

/// Total size of all extents in bytes.
pub(super) fn total(storages: &[Storage]) -> u64 {
    let length = |storage: &Storage| match storage {
        Storage::Inline(_) => 0,
        Storage::Ranges(ranges) => ranges.iter().map(|range| range.end - range.start).sum(),
    };
    storages.iter().map(length).sum()
}

/// Splits the files' ranges into extents, which are placed one after the other from [`Layout::data`] on. As in the
/// kernel, extents are at most [`MAX_EXTENT`] long and do not cross chunks.
pub(super) fn cut(storages: &[Storage], layout: &Layout) -> Vec<Piece> {
    let mut chunk_ends = layout.chunks.iter().map(|chunk| chunk.end()).filter(|end| *end > layout.data);
    let mut chunk_end = chunk_ends.next().unwrap_or(layout.data);
    let mut logical = layout.data;
    let mut pieces = Vec::new();
    for (node, storage) in storages.iter().enumerate() {
        let Storage::Ranges(ranges) = storage else { continue };
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                if logical == chunk_end {
                    chunk_end = chunk_ends.next().expect("the layout has space for all data");
                }
                let length = (range.end - at).min(MAX_EXTENT).min(chunk_end - logical);
                pieces.push(Piece { node, at, logical, length });
                at += length;
                logical += length;
            }
        }
    }
    pieces
}

/// Copies all pieces, and returns the checksums of their sectors in order.
pub(super) fn copy(
    image: &File,
    scan: &Scan,
    pieces: &[Piece],
    chunks: &Chunks,
    superblock: &Superblock,
) -> Result<Vec<u8>, WriteError> {
    let checksum = superblock.checksum;
    let mut sums = Vec::new();
    let mut buffer = vec![0; BUFFER as usize];
    for pieces in pieces.chunk_by(|one, next| one.node == next.node) {
        let node = &scan.tree.nodes[pieces[0].node];
        let Body::File(Content::Extents(extents)) = &node.body else {
            unreachable!("only files have pieces")
        };
        let mut source = SourceFile::open(&scan.paths[pieces[0].node])?;
        for piece in pieces {
            for done in (0..piece.length).step_by(BUFFER as usize) {
                let bytes = &mut buffer[..BUFFER.min(piece.length - done) as usize];
                source.read(extents, node.size, piece.at + done, bytes)?;
                write(image, chunks, piece.logical + done, bytes)?;
                for sector in bytes.chunks(superblock.sector as usize) {
                    sums.extend_from_slice(&checksum.of(sector)[..checksum.size()]);
                }
            }
        }
    }
    Ok(sums)
}

/// Writes all copies of a logical range.
pub(super) fn write(image: &File, chunks: &Chunks, logical: u64, bytes: &[u8]) -> Result<(), WriteError> {
    let mut rest = bytes;
    for mapped in chunks.map(logical, bytes.len() as u64)? {
        let (these, others) = rest.split_at(mapped.length as usize);
        rest = others;
        for copy in mapped.copies {
            image.write_all_at(these, copy).map_err(WriteError::Image)?;
        }
    }
    Ok(())
}

/// A file of the host that is read sequentially.
struct SourceFile<'p> {
    file: File,
    path: &'p Path,
    /// All extents before this one end before the position of the last read.
    next: usize,
}

impl SourceFile<'_> {
    fn open(path: &Path) -> Result<SourceFile<'_>, WriteError> {
        let file = File::open(path).map_err(|error| WriteError::Source { path: path.to_owned(), error })?;
        Ok(SourceFile { file, path, next: 0 })
    }

    /// Fills the buffer with the file's bytes at `at`: zeros in holes and after its end at `size`.
    fn read(&mut self, extents: &[Extent], size: u64, at: u64, buffer: &mut [u8]) -> Result<(), WriteError> {
        buffer.fill(0);
        let end = (at + buffer.len() as u64).min(size);
        while extents.get(self.next).is_some_and(|extent| extent.at + extent.length <= at) {
            self.next += 1;
        }
        for extent in &extents[self.next..] {
            if extent.at >= end {
                break;
            }
            let start = extent.at.max(at);
            let stop = (extent.at + extent.length).min(end);
            if start < stop {
                let part = &mut buffer[(start - at) as usize..(stop - at) as usize];
                let read = self.file.read_exact_at(part, extent.from + (start - extent.at));
                read.map_err(|error| WriteError::Source { path: self.path.to_owned(), error })?;
            }
        }
        Ok(())
    }
}
