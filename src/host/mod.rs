//! Interaction with the host: finding, running and ending programs, locks and atomic files, and the namespace in which
//! an image is built without privileges. Independent of what is built.

#[cfg(feature = "full")]
mod atomic_file;
#[cfg(feature = "full")]
mod catalog;
#[cfg(feature = "full")]
mod chroot;
mod debug;
mod failure;
#[cfg_attr(not(feature = "full"), allow(dead_code))]
mod interrupt;
#[cfg(feature = "full")]
mod invocation;
#[cfg(feature = "full")]
mod jail;
#[cfg(feature = "full")]
mod lock;
#[cfg(feature = "full")]
mod memory;
#[cfg(feature = "full")]
mod names;
#[cfg(feature = "full")]
mod namespace;
#[cfg(feature = "full")]
mod packages;
#[cfg(feature = "full")]
mod process;
mod progress;
#[cfg(feature = "full")]
mod run_error;
#[cfg(feature = "full")]
mod subreaper;
#[cfg(feature = "full")]
mod unnamed;

#[cfg(feature = "full")]
pub use atomic_file::{AtomicFile, Durability, write_whole};
#[cfg(feature = "full")]
pub use catalog::{CATALOG, Need, Presence, Tool, check, is_at_least, package_of, version_of};
#[cfg(feature = "full")]
pub use chroot::Chroot;
pub use debug::debug_lines_to;
pub use failure::{About, Blame, Context, Failure, FailureKind, Part, plain, visible, with_causes};
pub use interrupt::{install_handlers, remove_on_interrupt, set_interrupt_note, unregister_file};
#[cfg(feature = "full")]
pub use invocation::{Inherited, Invocation};
#[cfg(feature = "full")]
pub use jail::{Jail, jailed, run_jailed, run_jailed_within, why_no_sandbox};
#[cfg(feature = "full")]
pub use lock::{Lock, try_lock, wait_for_lock};
#[cfg(feature = "full")]
pub use memory::available_memory;
#[cfg(feature = "full")]
pub use names::Names;
#[cfg(feature = "full")]
pub use namespace::{
    Worker, Workspace, free_subordinate_range, has_workspaces, kill_other_processes, subordinate_ranges,
    sweep_workspaces, try_namespaces, workspace_from_stdin,
};
#[cfg(feature = "full")]
pub use packages::install_packages;
#[cfg(feature = "full")]
pub use process::{
    Finished, find_program, hidden_variables, hide_variable, run, run_any_status, run_bounded, run_reporting,
    run_with_input, run_with_output, search_path, spawn,
};
pub use progress::{Event, Progress};
#[cfg(feature = "full")]
pub use run_error::{ProgramRun, RunError};
#[cfg(feature = "full")]
pub use subreaper::Subreaper;
#[cfg(feature = "full")]
pub use unnamed::{inherited_name, name_of, scratch_directory};
