//! Customizes an unpacked tree: users, host name, planned files and links, hooks. The plan contains the text of each
//! file; this module makes no decisions of its own and does not handle disks.

mod cloud_init;
mod files;
mod hooks;
mod initramfs;
mod installer;
mod keep;
mod mirror;
mod resolver;
mod users;

pub use cloud_init::set_user_data;
pub use files::write_files;
pub use hooks::{HookFiles, HookOptions, post_hooks, pre_install};
pub use initramfs::extend_initramfs;
pub use installer::{add_installer, carry};
pub use keep::{keep_tree, shown_at};
pub use mirror::set_mirror;
pub use users::create_users;
