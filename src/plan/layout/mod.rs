//! Partition mathematics: from sizes to ranges of logical blocks.
//!
//! Inside, ranges are half-open; GPT's inclusive last LBA appears only where a table is written or shown.
//! There are no files, programs or templates here, and all arithmetic is checked.

mod geometry;
pub mod gpt;
pub mod mbr;
mod solve;

pub use geometry::{Lba, SectorSize, first_usable, last_usable};
pub use solve::{ALIGNMENT, DiskSize, Layout, LayoutError, MAX_PARTITIONS, Request, Slot, solve};
