//! The command line. Each subcommand has one file that parses its arguments, calls the library, prints the result and
//! returns an exit code. No other module prints or renders errors.

#[cfg(feature = "full")]
mod boot;
#[cfg(feature = "full")]
mod build;
mod bundles;
#[cfg(feature = "full")]
mod cache;
#[cfg(feature = "full")]
mod changed;
mod changes;
#[cfg(feature = "full")]
mod compatibility;
mod completions;
mod console;
#[cfg(feature = "full")]
mod diff;
#[cfg(feature = "full")]
mod disks;
#[cfg(feature = "full")]
mod doctor;
mod explain;
mod files;
mod findings;
mod fmt;
mod input;
#[cfg(feature = "full")]
mod inventory;
mod lint;
#[cfg(feature = "full")]
mod locate;
mod log_file;
mod lsp;
mod manual;
mod new;
#[cfg(feature = "full")]
mod output;
mod plan;
#[cfg(feature = "full")]
mod publish;
#[cfg(feature = "full")]
mod receipt;
#[cfg(feature = "full")]
mod report;
#[cfg(feature = "full")]
mod reproducibility;
#[cfg(feature = "full")]
mod root_ssh;
mod rules;
mod run;
#[cfg(feature = "full")]
mod run_state;
mod schema;
mod source_root;
mod sources;
#[cfg(feature = "full")]
mod sums;
#[cfg(feature = "full")]
mod swupd;
#[cfg(feature = "full")]
mod test;
#[cfg(feature = "full")]
mod verify;

pub use run::main;
