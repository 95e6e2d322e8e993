//! XFS, read and written without a kernel: [`fill`] puts a directory's tree into a filesystem that mkfs.xfs has just made,
//! [`Xfs`] reads any, [`capacity`] says beforehand what fits.
//!
//! mkfs.xfs can fill what it makes only from a protofile, which loses hard links, attributes, holes and times; so it
//! makes the empty filesystem (it knows best what a kernel wants there), and this module does the rest.
//!
//! What it does not do: replay a log, read the realtime device, quotas, check a filesystem (that is xfs_repair's).
//!
//! Terms. A *block* is the filesystem's (most often 4096 bytes). An *allocation group* (in code: *group*; AG) is one
//! of the equal parts of a filesystem, each with its own headers (AGF for space, AGI for inodes, AGFL for a few blocks
//! kept ready) and btrees. A *group block* is a block counted from its group's start; a *block number* (fsbno) has the
//! group in its upper bits; a *daddr* is a count of 512 bytes from the start. A *chunk* is 64 inodes side by side. A
//! *fork* is the part of an inode that finds its data or its attributes: *local* (in the inode), a list of extents, or a
//! btree of them. The *index* (dabtree) is the tree by hash of names in larger directories and attribute sets.
//!
//! Source: "XFS Algorithms & Data Structures", 3rd edition (xfs-documentation), and fs/xfs/libxfs/xfs_format.h and
//! xfs_da_format.h of Linux 6.12 for what is newer. All numbers on disk are big-endian, but for checksums.

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
