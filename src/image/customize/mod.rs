//! From a prepared tree to this image's tree: users, host name, planned files and links, hooks. Nothing here
//! knows disks, and nothing is decided here: the plan says what each file holds.

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
pub use hooks::{HookFiles, post_hooks, pre_install};
pub use initramfs::extend_initramfs;
pub use installer::{add_installer, carry};
pub use keep::{keep_tree, shown_at};
pub use mirror::set_mirror;
pub use users::create_users;
