//! FAT12, FAT16 and FAT32 with long names: reading any, and forecasting what mkfs.vfat will make.
//!
//! - [`Fat`] reads a filesystem, whoever wrote it: its tree, which of its bytes matter, and what lies at a byte.
//! - [`fill`] puts a tree into one, empty or not; [`unholdable`] says beforehand what no FAT can hold.
//! - [`Request::forecast`] says how much an empty filesystem will hold before mkfs.vfat runs.
//!
//! exFAT is another format, and not read.
//!
//! Terms: a *cluster* is the unit of allocation, numbered from 2; the *table* (what gave the format its name) says of each
//! cluster which one follows; there are usually two equal copies of it, of which the first is read here. A *short name* is
//! 8 characters, a dot and 3; a *long name* stands before it, in entries of its own.
//!
//! Source: Microsoft, *FAT32 File System Specification* 1.03 (fatgen103), and dosfstools 4.2 for what mkfs.vfat does.

mod boot;
mod describe;
mod directory;
mod forecast;
mod name;
mod new_name;
mod reader;
mod table;
mod writer;

pub use boot::Width;
pub use forecast::{Capacity, Request};
pub use new_name::folded_bytes as folded;
pub use reader::Fat;
pub use writer::{WriteError, fill, unholdable};

#[cfg(test)]
mod tests;
