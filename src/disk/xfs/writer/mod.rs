//! Fills a new filesystem from mkfs.xfs reproducibly.
//!
//! There are two passes. The first one is a dry run: it writes nothing and counts what is needed, so that a filesystem
//! that is too small is detected before the first byte is written. Allocation walks through the groups, starting at the
//! first block of the first group: first all further inodes, then the nodes in the order of the tree, each with its
//! directory blocks, attributes and data. Btrees therefore stay small, since the free space of a group consists of a
//! few ranges.

mod attributes;
mod base;
mod data;
mod directory;
mod error;
mod fill;
mod fork;
mod groups;
mod index;
mod inode;
mod node;
mod pages;
mod space;

pub use error::WriteError;
pub use fill::fill;
