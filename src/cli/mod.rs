//! The command line: one file per subcommand, each parses, calls, shows, and gives an exit code. The one place
//! that prints, and where errors become text.

mod boot;
mod build;
mod cache;
mod console;
mod doctor;
mod input;
mod lint;
mod plan;
mod run;
mod schema;

pub use run::main;
