//! The partition layout: computes ranges of logical blocks from partition sizes.
//!
//! Ranges are half-open internally; GPT's inclusive last LBA is used only where a table is written or displayed. This
//! module does no I/O and does not depend on templates. All arithmetic is checked.

mod geometry;
pub mod gpt;
pub mod mbr;
mod solve;

pub use geometry::{Lba, SectorSize, first_usable, last_usable};
pub use solve::{ALIGNMENT, DiskSize, Layout, LayoutError, MAX_PARTITIONS, PartitionRequest, Slot, solve};
