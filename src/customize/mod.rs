//! From a prepared tree to this image's tree: users, host name, planned files and links, hooks. Nothing here
//! knows disks, and nothing is decided here: the plan says what each file holds.

mod files;
mod hooks;
mod initramfs;
mod users;

pub use files::write_files;
pub use hooks::{post_hooks, pre_install};
pub use initramfs::extend_initramfs;
pub use users::create_users;
