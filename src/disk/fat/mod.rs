//! FAT12, FAT16 and FAT32 with long names: a reader, and a writer that fills existing filesystems.
//!
//! - [`Fat`] reads a filesystem: its tree, the bytes in use, and a description of each byte.
//! - [`fill`] writes a tree into a filesystem, empty or not; [`first_unsupported`] finds beforehand what no FAT can store.
//!
//! exFAT is a different format and is not supported.
//!
//! Terms: a *cluster* is the unit of allocation, numbered from 2. The *table* (file allocation table) holds the next
//! cluster of each cluster; there are usually two equal copies, of which the first is read here. A *short name* has 8
//! characters, a dot and 3 characters; a *long name* is stored in entries of its own before it.
//!
//! Source: Microsoft, *FAT32 File System Specification* 1.03 (fatgen103).

mod boot;
mod describe;
mod directory;
mod name;
mod new_name;
mod reader;
mod table;
mod writer;

pub use new_name::folded_bytes as folded;
pub use reader::Fat;
pub use writer::{WriteError, fill, first_unsupported};

#[cfg(test)]
mod tests;
