//! The linter: everything that is wrong with a template, at once, each at its place.
//!
//! A rule is one file of `rules/` and one line of its table; adding one is: write the file (a `Rule` with a name, a
//! summary, a level, a reason, an example that gives exactly its finding, what to write instead, and a function over the
//! typed template), add it to `rules/mod.rs` in order, to `docs/rules.md` (`ister rules --format markdown`), and a fault
//! that shows it to `tests/laws.rs`. A rule of several cases has a test of each beside it. Rules are pure: what they need to know
//! of the host (does this file exist?) is collected beforehand, see [`Files`].

mod content;
mod files;
mod finding;
mod fixing;
mod partitions;
mod rules;
mod run;
mod schema;

pub use content::Content;
pub use files::{FileFact, Files, Program, Wanted, wanted_files};
pub use finding::{Check, Finding, Findings, Level, Rule};
pub use fixing::{Fixed, fix};
pub use partitions::{Partition, Partitions};
pub use rules::{
    DUPLICATE_KEY, LINT_ALLOWANCE, MISSPELT_KEY, RULES, SCHEMA, SYNTAX, UNKNOWN_KEY, WRONG_TYPE, names, rule,
};
pub use run::{Linted, lint};
pub use schema::{KeyDoc, SCHEMA_TEXT, describe};
