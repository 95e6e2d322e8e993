//! Filling a filesystem that mkfs.xfs has just made, the same way each time.
//!
//! It is done twice: in rehearsal nothing is written, and what it takes is counted, so that too small a filesystem is
//! found out before the first byte; then for good. Allocation is a walk through the groups from the first block of the
//! first one on: all further inodes, then nodes in the order of the tree, each with its directory blocks, attributes and
//! data. Btrees therefore stay small: the free space of a group is a few ranges.

mod attributes;
mod data;
mod directory;
mod error;
mod fill;
mod fork;
mod ground;
mod groups;
mod index;
mod inode;
mod node;
mod pages;
mod space;

pub use error::WriteError;
pub use fill::fill;
