//! Comparison of two images: disk, partitions, filesystems, structures and files, fields.
//!
//! Differences are found by comparing bytes; the filesystem readers only determine what the bytes belong to. Unsupported
//! structures are therefore compared too, and identical ranges are read only once. Nothing is mounted or written.

mod bytes;
mod groups;
mod images;
mod packages;
mod trees;

pub use bytes::differing;
pub use groups::{DifferenceGroup, group, grouped};
pub use images::{Difference, compare};
