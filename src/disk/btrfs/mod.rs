//! btrfs on a single device: a reader, and a writer that fills an empty filesystem made by `mkfs.btrfs`.
//!
//! Not supported: repair, resizing, tree log replay, compressed data, and profiles other than `single` and `DUP`.
//!
//! Terms: a *physical* address is an offset in the filesystem. A *logical* address is in an address space that *chunks*
//! map to physical *stripes* (two for DUP). The logical range of a chunk is called *block group*. Everything else is
//! stored as *items* (a key and some bytes) in B-trees, whose *tree blocks* are leaves at level 0. A *sector* is the
//! unit of file data, the *node size* that of tree blocks.
//!
//! Source: the kernel's `include/uapi/linux/btrfs_tree.h` and
//! <https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html>.

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
