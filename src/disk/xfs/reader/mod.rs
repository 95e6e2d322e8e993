//! Reading any XFS, also one that a kernel wrote: its tree, what of it is in use, and what lies where.

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
