//! Reads any XFS, including those that a kernel has written: the tree, the bytes in use, and descriptions of bytes.

mod attributes;
mod btree;
mod describe;
mod directory;
mod fork;
mod group;
mod inode;
mod open;
mod tree;

pub(super) use group::{AGF_CRC, AGI_CRC, Group};
pub use open::Xfs;
