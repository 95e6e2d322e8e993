//! The image: from a plan and a finished tree to bytes. Templates are not known here.
//!
//! Everything is written from files only: no loop device, no mount of the image. Filesystems are made side by side,
//! ext2, ext3 and ext4 in place.

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
