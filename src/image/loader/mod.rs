//! Boot loaders: what goes into the tree, and GRUB's part that lies outside any filesystem.
//!
//! The tree always gets one loader entry (UAPI.1, the Boot Loader Specification) whose last line is its options:
//! published hooks edit it there. systemd-boot reads it as it is; for GRUB it is turned into a grub.cfg after the
//! hooks have run, so that the entry is the one truth for both.

mod entry;
mod grub;
mod grub_configuration;
mod grub_efi;
mod kernel;
mod systemd_boot;

pub use entry::install_loader;
pub(super) use grub::grub_core;
pub use kernel::newest_kernel;

use crate::content::Tree;
use crate::host::Failure;
use crate::plan::Plan;

/// What the hooks made of the entry, for the loader and for kernels that are installed later.
pub fn finish_loader(plan: &Plan, tree: &Tree) -> Result<(), Failure> {
    entry::keep_options(plan, tree)?;
    grub_configuration::write_configuration(plan, tree)
}
