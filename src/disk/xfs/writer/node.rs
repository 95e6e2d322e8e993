//! Places and writes everything of a node outside its inode, and returns the contents of its inode.

use super::super::format::{INODE_CORE, LINK_MAX, REMOTE_LINK_MAGIC};
use super::super::header::HeaderOffsets;
use super::WriteError;
use super::attributes::{Attribute, pages, remote_page, remote_room, short_form};
use super::data::ranges;
use super::directory::{KIND_DIRECTORY, Listing, XfsEntry};
use super::fill::Filler;
use super::fork::{self, Fork};
use super::inode::{AttributeFork, Core};
use super::pages::{Page, Segment};
use super::space::FreeRun;
use crate::disk::tree::{Body, Content, Node, NodeId, mode};
use std::collections::BTreeMap;

const NAME_MAX: usize = 255;
/// Bits of a device number. Source: sysv_encode_dev in the kernel's kdev_t.h.
const MAJOR_BITS: u32 = 14;
const MINOR_BITS: u32 = 18;

/// Minimum space for data in an inode with attributes, in bytes: a btree root with three pointers.
const LEAST_DATA: usize = 56;
/// The same for nodes without data; XFS requires exactly this value.
const NO_DATA: usize = 8;
/// Space for eight extents of attributes, in bytes.
const ATTRIBUTE_EXTENTS: usize = 136;

/// The data fork, and the size field of the inode.
struct Data {
    fork: Fork,
    size: u64,
}

impl Filler<'_> {
    pub(super) fn core(&mut self, id: NodeId) -> Result<Core, WriteError> {
        let node = &self.scan.tree.nodes[id];
        let attributes = self.attributes(id, node)?;
        let whole = self.superblock.inode() - INODE_CORE;
        let room = attributes.as_ref().map_or(whole, |attributes| attributes.start);
        let Data { fork: data, size } = match &node.body {
            Body::Directory(entries) => self.directory(id, entries, room)?,
            Body::File(content) => self.file(id, node.size, content, room)?,
            Body::Link(target) => self.link(id, target, room)?,
            Body::Device { major, minor } => Data { fork: self.device(id, *major, *minor)?, size: 0 },
            Body::Other => Data { fork: Fork::device([0; 4]), size: 0 },
        };
        Ok(Core {
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            links: node.links,
            size,
            accessed: node.accessed,
            modified: node.modified,
            changed: node.changed,
            created: node.created.unwrap_or(node.modified),
            flags: 0,
            data,
            attributes,
        })
    }

    fn attributes(&mut self, id: NodeId, node: &Node) -> Result<Option<AttributeFork>, WriteError> {
        let all = Attribute::all(&node.attributes).map_err(|problem| self.node_error(id, problem))?;
        if all.is_empty() {
            return Ok(None);
        }
        self.has_attributes = true;
        let whole = self.superblock.inode() - INODE_CORE;
        let dataless = matches!(node.body, Body::Device { .. } | Body::Other);
        let least = match &node.body {
            _ if dataless => NO_DATA,
            Body::Link(target) => target.len().next_multiple_of(8).min(LEAST_DATA),
            _ => LEAST_DATA,
        };
        let start = |length: usize| {
            let start = whole.checked_sub(length)? & !7;
            (start >= least).then_some(if dataless { NO_DATA } else { start })
        };
        if let Some(bytes) = short_form(&all)
            && let Some(start) = start(bytes.len())
        {
            return Ok(Some(AttributeFork { start, fork: Fork::local(bytes) }));
        }
        let start = if dataless { NO_DATA } else { whole - ATTRIBUTE_EXTENTS };
        let runs = self.place(self.numbers[id], vec![pages(&all, self.superblock)])?;
        let fork = self.mapped(self.numbers[id], runs, whole - start)?;
        Ok(Some(AttributeFork { start, fork }))
    }

    fn directory(
        &mut self,
        id: NodeId,
        entries: &BTreeMap<Vec<u8>, NodeId>,
        room: usize,
    ) -> Result<Data, WriteError> {
        if let Some(name) = entries.keys().find(|name| name.is_empty() || name.len() > NAME_MAX) {
            return Err(self.node_error(
                id,
                format!("a directory entry's name has {} bytes, expected 1 to 255", name.len()),
            ));
        }
        let listing = Listing {
            inode: self.numbers[id],
            parent: self.numbers[self.parents[id]],
            entries: entries
                .iter()
                .map(|(name, child)| XfsEntry { name, inode: self.numbers[*child], kind: self.kind(*child) })
                .collect(),
        };
        if let Some(bytes) = listing.short(self.superblock, room) {
            let size = bytes.len() as u64;
            return Ok(Data { fork: Fork::local(bytes), size });
        }
        let (segments, size) = listing.pages(self.superblock);
        let runs = self.place(listing.inode, segments)?;
        Ok(Data { fork: self.mapped(listing.inode, runs, room)?, size })
    }

    /// As in `xfs_dir3_ftype`.
    fn kind(&self, id: NodeId) -> u8 {
        match self.scan.tree.nodes[id].mode & mode::TYPE {
            mode::FILE => 1,
            mode::DIRECTORY => KIND_DIRECTORY,
            mode::CHR => 3,
            mode::BLK => 4,
            mode::FIFO => 5,
            mode::SOCKET => 6,
            mode::LINK => 7,
            _ => 0,
        }
    }

    fn file(&mut self, id: NodeId, size: u64, content: &Content, room: usize) -> Result<Data, WriteError> {
        let whole = [crate::disk::tree::Extent { at: 0, from: 0, length: size }];
        let extents = match content {
            Content::Extents(extents) => &extents[..],
            Content::Inline(bytes) if bytes.len() as u64 == size => &whole,
            Content::Inline(bytes) => {
                return Err(
                    self.node_error(id, format!("expected {size} bytes of content, found {}", bytes.len()))
                );
            }
            Content::Unreadable(why) => return Err(self.node_error(id, why.clone())),
        };
        let mut runs = Vec::new();
        for range in ranges(extents, size, self.superblock.block_log) {
            runs.extend(self.space.take(self.superblock, range.start, range.end - range.start));
        }
        let fork = self.mapped(self.numbers[id], runs.clone(), room)?;
        self.copy(id, content, size, &runs)?;
        Ok(Data { fork, size })
    }

    fn link(&mut self, id: NodeId, target: &[u8], room: usize) -> Result<Data, WriteError> {
        // The kernel counts the terminating zero.
        if target.is_empty() || target.len() >= LINK_MAX {
            return Err(self.node_error(
                id,
                format!("the symbolic link's target has {} bytes, expected 1 to 1023", target.len()),
            ));
        }
        let size = target.len() as u64;
        if target.len() <= room {
            return Ok(Data { fork: Fork::local(target.to_vec()), size });
        }
        let blocks = target.len().div_ceil(remote_room(self.superblock.block()));
        let runs = self.space.take(self.superblock, 0, blocks as u64);
        // There is one header for each extent, not for each block.
        let mut done = 0;
        for run in &runs {
            let length =
                usize::try_from(run.count << self.superblock.block_log).expect("a target takes few blocks");
            let part = &target[done..target.len().min(done + remote_room(length))];
            let bytes = remote_page(REMOTE_LINK_MAGIC, done, part, length, 0);
            self.write_pages(
                self.numbers[id],
                vec![Page { header: HeaderOffsets::REMOTE, bytes }],
                &numbers(&[*run]),
            )?;
            done += part.len();
        }
        Ok(Data { fork: self.mapped(self.numbers[id], runs, room)?, size })
    }

    fn device(&self, id: NodeId, major: u32, minor: u32) -> Result<Fork, WriteError> {
        if major >> MAJOR_BITS != 0 || minor >> MINOR_BITS != 0 {
            return Err(self
                .node_error(id, format!("device number {major}:{minor} does not fit into 14 and 18 bits")));
        }
        Ok(Fork::device((major << MINOR_BITS | minor).to_be_bytes()))
    }

    /// Allocates blocks for pages, and writes them.
    fn place(&mut self, owner: u64, segments: Vec<Segment>) -> Result<Vec<FreeRun>, WriteError> {
        let mut runs = Vec::new();
        for Segment { offset, pages } in segments {
            let bytes: usize = pages.iter().map(|page| page.bytes.len()).sum();
            let taken = self.space.take(self.superblock, offset, (bytes >> self.superblock.block_log) as u64);
            self.write_pages(owner, pages, &numbers(&taken))?;
            runs.extend(taken);
        }
        Ok(runs)
    }

    /// Builds a fork from runs, with `room` bytes in the inode. If it needs a btree, the btree is placed and written.
    fn mapped(&mut self, owner: u64, runs: Vec<FreeRun>, room: usize) -> Result<Fork, WriteError> {
        let runs = fork::split(runs);
        let wanted = fork::btree_blocks(runs.len(), room, self.superblock.block());
        let mut blocks = numbers(&self.space.take(self.superblock, 0, wanted as u64));
        // In a dry run there may be too few.
        blocks.resize(wanted, 0);
        let (fork, pages) = fork::build(&runs, room, self.superblock.block(), &blocks);
        self.write_pages(owner, pages, &blocks)?;
        Ok(fork)
    }

    fn write_pages(&self, owner: u64, pages: Vec<Page>, blocks: &[u64]) -> Result<(), WriteError> {
        let mut rest = blocks;
        for Page { header, mut bytes } in pages {
            let Some((these, others)) = rest.split_at_checked(bytes.len() >> self.superblock.block_log)
            else {
                return Ok(());
            };
            rest = others;
            let places: Vec<u64> =
                these.iter().filter_map(|number| self.superblock.run(*number, 1)).collect();
            header.seal(&mut bytes, directory_daddr(&places), owner, self.superblock.metadata_uuid);
            for (part, at) in bytes.chunks(self.superblock.block()).zip(places) {
                self.output.write(part, at)?;
            }
        }
        Ok(())
    }

    fn node_error(&self, id: NodeId, problem: String) -> WriteError {
        WriteError::Node { path: self.path(id), problem }
    }
}

/// A page of several blocks contains the location of its first block.
fn directory_daddr(places: &[u64]) -> u64 {
    places.first().map_or(0, |byte| super::super::superblock::Superblock::daddr(*byte))
}

fn numbers(runs: &[FreeRun]) -> Vec<u64> {
    runs.iter().flat_map(|run| run.start..run.start + run.count).collect()
}
