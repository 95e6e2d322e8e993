//! FAT12, FAT16 and FAT32 with long names: reading any, and filling one that is empty.
//!
//! - [`Fat`] reads a filesystem, whoever wrote it: its tree, which of its bytes matter, and what lies at a byte.
//! - [`fill`] puts a tree into one, empty or not; [`unholdable`] says beforehand what no FAT can hold.
//!
//! exFAT is another format, and not read.
//!
//! Terms: a *cluster* is the unit of allocation, numbered from 2; the *table* (what gave the format its name) says of each
//! cluster which one follows; there are usually two equal copies of it, of which the first is read here. A *short name* is
//! 8 characters, a dot and 3; a *long name* stands before it, in entries of its own.
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
pub use writer::{WriteError, fill, unholdable};

#[cfg(test)]
mod tests;
