//! Where two images differ: disk, partition, filesystem, structure or file, field.
//!
//! Bytes decide whether there is a difference; the readers of `filesystem` only say what lies where. So nothing is
//! overlooked because nobody knows it, and what is equal is not read twice. Nothing is mounted or written.

mod bytes;
mod groups;
mod images;
mod packages;
mod trees;

pub use bytes::differing;
pub use groups::{Group, group, grouped};
pub use images::{Difference, compare};
