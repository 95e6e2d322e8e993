//! ext2, ext3 and ext4: a reader, and normalization of new filesystems from mke2fs.
//!
//! - [`Ext`] reads a filesystem: its tree, the bytes in use, and a description of each byte.
//! - [`normalize`] removes the host's clock from a filesystem that mke2fs has just made, in place.
//!
//! Nothing here allocates blocks, replays a journal or repairs anything. A filesystem that needs recovery is read as it
//! is on the disk; [`Ext::is_clean`] reports that.
//!
//! Terms: a *block* is the unit of addresses. A *group* is a run of blocks with two bitmaps and a part of the inode
//! table. With *bigalloc*, a bit of the block bitmap represents a *cluster* of several blocks; otherwise a cluster is
//! one block. An *inode* is a node of the tree; numbers start at 1, and the root directory is 2.
//!
//! Source: the kernel's `Documentation/filesystems/ext4/`, and e2fsprogs 1.47.0 for the behavior of mke2fs.

mod attribute_order;
mod attributes;
mod backup_bitmaps;
mod checksum;
mod describe;
mod directory;
mod fields;
mod group;
mod inode;
mod mapping;
mod normalize;
mod reader;
mod superblock;
mod usage;

pub use normalize::{NormalizeError, normalize};
pub use reader::Ext;

/// The configuration file for mke2fs (`MKE2FS_CONFIG`). It replaces the host's own.
pub const MKE2FS_CONFIG: &str = include_str!("mke2fs.conf");

#[cfg(test)]
mod tests;
