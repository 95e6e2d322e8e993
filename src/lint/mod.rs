//! The linter: everything that is wrong with a template, at once, each at its place.
//!
//! A rule is one file of `rules/` and one line of its table; adding one is: write the file (a `Rule` with a name,
//! a summary, a level and a function over the typed template), add it to `rules/mod.rs` in order, and give it a
//! test that shows where it fires and where its nearest neighbour does not. Rules are pure: what they need to know
//! of the host (does this file exist?) is collected beforehand, see [`Files`].

mod files;
mod finding;
mod rules;
mod run;
mod schema;

pub use files::{FileFact, Files, Wanted, wanted_files};
pub use finding::{Finding, Findings, Level, Rule};
pub use rules::{DUPLICATE_KEY, MISSPELT_KEY, RULES, SCHEMA, SYNTAX, UNKNOWN_KEY, WRONG_TYPE};
pub use run::{Linted, lint};
pub use schema::SCHEMA_TEXT;
