//! The command line: one file per subcommand, each parses, calls, shows, and gives an exit code. The one place
//! that prints, and where errors become text.

mod board;
mod boot;
mod build;
mod cache;
mod changed;
mod console;
mod diff;
mod disks;
mod doctor;
mod drop_in;
mod explain;
mod fmt;
mod input;
mod inventory;
mod journal;
mod lint;
mod locate;
mod lsp;
mod manual;
mod new;
mod plan;
mod publish;
mod receipt;
mod report;
mod root_ssh;
mod rules;
mod run;
mod schema;
mod source_root;
mod sources;
mod sums;
mod swupd;
mod test;
mod twice;
mod verify;

pub use run::main;
