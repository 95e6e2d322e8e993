//! ext2, ext3 and ext4: reading any, and normalizing what mke2fs made.
//!
//! - [`Ext`] reads a filesystem, whoever wrote it: its tree, which of its bytes matter, and what lies at a byte.
//! - [`normalize`] takes the host's clock out of a filesystem that mke2fs has just made, in place.
//!
//! Nothing here allocates blocks, replays a journal or repairs: a filesystem that needs recovery is read as it lies
//! on the disk, and [`Ext::is_clean`] says so.
//!
//! Terms: a *block* is the unit of addresses; a *group* is a run of blocks with two bitmaps and a part of the inode
//! table; with *bigalloc* a bit of the block bitmap stands for a *cluster* of several blocks, else a cluster is one block.
//! An *inode* is what the tree calls a node; numbers start at 1 and the root directory is 2.
//!
//! Source: the kernel's `Documentation/filesystems/ext4/`, and e2fsprogs 1.47.0 for what mke2fs does.

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

/// The configuration file that mke2fs runs with (`MKE2FS_CONFIG`), so that the host's own does not count.
pub const MKE2FS_CONFIG: &str = include_str!("mke2fs.conf");

#[cfg(test)]
mod tests;
