//! Builds images: from a plan and a root tree to bytes on disk. This module does not read templates.
//!
//! All writing is to plain files: no loop device, and the image is never mounted. Filesystems are made in parallel;
//! ext2, ext3 and ext4 are made in place.

mod assemble;
pub mod customize;
mod deliver;
pub mod device;
mod digest;
mod extents;
pub mod format;
mod gpt;
mod loader;
mod make;
mod mkfs_defaults;
pub mod pipeline;
mod preserved;
mod read_back;
mod space;
mod split;
mod wipe;

pub use assemble::{Assembly, assemble};
pub use digest::{sha256, sha256_and_sha512, sha256_of, sha512};
pub use extents::{copy_data, copy_range, data as data_ranges};
pub use gpt::write as write_table;
pub use loader::{finish_loader, install_loader, newest_kernel};
