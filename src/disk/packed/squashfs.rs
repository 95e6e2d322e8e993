//! squashfs 4.0, using the backhand crate. The crate does not read extended attributes or hard links.

use super::{Attributes, Packed, PathTreeBuilder, damaged};
use crate::disk::bytes::{self, u32_at};
use crate::disk::source::{ReadError, Source};
use crate::disk::tree::{Body, Content, Time};
use backhand::{FilesystemReader, InnerNode};
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;

const KIND: Packed = Packed::Squashfs;
/// Size of the read buffer in bytes.
const BUFFER: usize = 128 << 10;

/// The number of inodes. Source: Linux, fs/squashfs/squashfs_fs.h, struct squashfs_super_block.
pub(super) fn nodes(source: &dyn Source) -> Result<usize, ReadError> {
    Ok(u32_at(&bytes::read(source, 0, 96)?, 4) as usize)
}

pub(super) fn read(source: &dyn Source, builder: &mut PathTreeBuilder) -> Result<(), ReadError> {
    let reader = BufReader::with_capacity(BUFFER, Cursor { source, at: 0 });
    let filesystem = FilesystemReader::from_reader(reader).map_err(|error| damaged(KIND, error))?;
    let mut nodes: Vec<_> = filesystem.files().collect();
    // Sort directories before their contents.
    nodes.sort_by_key(|node| node.fullpath.components().count());
    for (number, node) in (1..).zip(nodes) {
        let attributes = Attributes {
            number,
            mode: u32::from(node.header.permissions),
            uid: node.header.uid,
            gid: node.header.gid,
            modified: Time { seconds: i64::from(node.header.mtime), nanoseconds: 0 },
            extended: BTreeMap::new(),
        };
        let (size, body) = match &node.inner {
            InnerNode::Dir(_) => (0, Body::Directory(BTreeMap::new())),
            InnerNode::File(file) => {
                let size = file.file_len() as u64;
                let reader = filesystem.file(file).reader_checked().map_err(|error| damaged(KIND, error))?;
                (
                    size,
                    Body::File(if size == 0 {
                        Content::Extents(Vec::new())
                    } else {
                        builder.store(reader, size, KIND)?
                    }),
                )
            }
            InnerNode::Symlink(link) => {
                let target = link.link.as_os_str().as_bytes().to_vec();
                (target.len() as u64, Body::Link(target))
            }
            InnerNode::CharacterDevice(device) => (0, device_of(device.device_number)),
            InnerNode::BlockDevice(device) => (0, device_of(device.device_number)),
            InnerNode::NamedPipe | InnerNode::Socket => (0, Body::Other),
        };
        builder
            .add(node.fullpath.as_os_str().as_bytes(), attributes, size, body)
            .map_err(|problem| damaged(KIND, problem))?;
    }
    Ok(())
}

/// Source: Linux, include/linux/kdev_t.h, new_decode_dev.
fn device_of(number: u32) -> Body {
    Body::Device { major: (number & 0xf_ff00) >> 8, minor: number & 0xff | (number >> 12) & 0xf_ff00 }
}

/// Reads a source from its start to its end.
struct Cursor<'s> {
    source: &'s dyn Source,
    at: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (buffer.len() as u64).min(self.source.size().saturating_sub(self.at)) as usize;
        self.source.read_at(&mut buffer[..count], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Cursor<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.source.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
