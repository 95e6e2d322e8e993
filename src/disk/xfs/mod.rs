//! XFS in user space: [`fill`] writes a directory's tree into a new filesystem from mkfs.xfs, [`Xfs`] reads any XFS,
//! and [`capacity`] predicts what fits.
//!
//! mkfs.xfs can fill a filesystem only from a protofile, which loses hard links, attributes, holes and timestamps.
//! Therefore mkfs.xfs only makes the empty filesystem with the right settings for the kernel, and this module fills it.
//!
//! Not supported: log replay, the realtime device, quotas. Checking a filesystem is the task of xfs_repair.
//!
//! Terms: a *block* is a filesystem block (usually 4096 bytes). An *allocation group* (in code: *group*; AG) is one of
//! the equal parts of a filesystem, each with its own headers (AGF for space, AGI for inodes, AGFL for a few
//! preallocated blocks) and btrees. A *group block* is a block number relative to its group. A *block number* (fsbno)
//! has the group in its upper bits. A *daddr* is an offset in units of 512 bytes. A *chunk* is 64 consecutive inodes. A
//! *fork* is the part of an inode that locates its data or its attributes: *local* (in the inode), a list of extents,
//! or a btree of extents. The *index* (dabtree) is the tree by name hash in larger directories and attribute sets.
//!
//! Source: "XFS Algorithms & Data Structures", 3rd edition (xfs-documentation); for newer features
//! fs/xfs/libxfs/xfs_format.h and xfs_da_format.h of Linux 6.12. All on-disk numbers are big-endian, except for
//! checksums.

mod acl;
mod format;
mod hash;
mod header;
mod reader;
mod superblock;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::Xfs;
pub use writer::{WriteError, fill};
