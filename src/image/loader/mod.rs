//! Boot loaders: files in the root tree, and GRUB's boot sectors outside of any filesystem.
//!
//! The tree always gets one loader entry (UAPI.1, the Boot Loader Specification). Its last line contains the options,
//! where published hooks edit them. systemd-boot reads the entry directly. For GRUB it is converted to a grub.cfg
//! after the hooks have run, so both loaders use the same entry.

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

/// Applies what hooks changed to the loader: kernels and their initramfs, and the options in the loader entry, also for
/// kernels that are installed later. `before`: the versions of the kernels before the hooks.
pub fn finish_loader(plan: &Plan, tree: &Tree, before: &[String]) -> Result<(), Failure> {
    if plan.hooks.has_post_hooks() {
        entry::follow_kernels(plan, tree, before)?;
    }
    entry::write_kernel_options(plan, tree)?;
    grub_configuration::write_configuration(plan, tree)
}
