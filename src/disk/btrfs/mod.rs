//! btrfs on a single device: reading any, and filling an empty one that `mkfs.btrfs` made.
//!
//! It does not repair, resize or replay a tree log, reads no compressed data, and knows the profiles `single` and `DUP` only.
//!
//! Terms. A *physical* address counts bytes from the filesystem's start, a *logical* one lies in an address space that
//! *chunks* map to physical *stripes* (two of them under DUP). A chunk seen from the space that it offers is a *block group*.
//! Everything else is *items* (a key and some bytes) in B-trees, whose *tree blocks* are leaves at level 0.
//! A *sector* is the unit of file data, a *node size* that of tree blocks.
//!
//! Source: the kernel's `include/uapi/linux/btrfs_tree.h` and <https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html>.

mod block;
mod bytes;
mod checksum;
mod chunk;
mod contents;
mod data;
mod describe;
mod format;
mod inode;
mod items;
mod layout;
mod plan;
mod reader;
mod space_tree;
mod subvolume;
mod superblock;
mod tree_writer;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::Btrfs;
pub use writer::{WriteError, fill};
