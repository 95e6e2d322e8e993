//! Everything that touches other programs: finding them, running them, ending them, and the namespace in which
//! an image is built without privileges. Nothing here knows what is being built.

mod atomic_file;
mod catalog;
mod chroot;
mod debug;
mod failure;
mod interrupt;
mod invocation;
mod jail;
mod lock;
mod memory;
mod names;
mod namespace;
mod packages;
mod process;
mod progress;
mod subreaper;
mod unnamed;

pub use atomic_file::{AtomicFile, Durability, write_whole};
pub use catalog::{CATALOG, Need, Presence, Tool, check, is_at_least, package_of, version_of};
pub use chroot::Chroot;
pub use debug::debug_lines_to;
pub use failure::{About, Blame, Context, Failure, Part, visible, with_causes};
pub use interrupt::{forget_file, install_handlers, leaves_when_interrupted, remove_on_interrupt};
pub use invocation::Invocation;
pub use jail::{JailNetwork, jailed};
pub use lock::{Lock, try_lock, wait_for_lock};
pub use memory::available_memory;
pub use names::Names;
pub use namespace::{
    Worker, Workspace, end_leftovers, has_workspaces, subordinate_ranges, sweep_workspaces, try_namespaces,
    workspace_from_stdin,
};
pub use packages::install_packages;
pub use process::{
    Finished, find_program, keep_from_children, kept_from_children, run, run_bounded, run_fed, run_into,
    run_reporting, run_to_its_end, search_path, spawn,
};
pub use progress::{Event, Progress};
pub use subreaper::Orphans;
pub use unnamed::{inherit, inherited_name, name_of, scratch_directory};
