//! The linter: reports all problems of a template in one run, each with its position.
//!
//! Each rule is one file in `rules/` and one entry in the table in `rules/mod.rs`. To add a rule:
//!
//! 1. Write the file: a `Rule` with a name, a summary, a level, a reason, an example that produces only its finding, the
//!    corrected example, and a function that checks the typed template. A rule with several cases has a test for each of
//!    them in the same file.
//! 2. Add the rule to the sorted table in `rules/mod.rs`.
//! 3. Regenerate `docs/rules.md` with `ister rules --format markdown`.
//! 4. Add a template change that triggers the rule to `tests/laws/faults.rs`.
//!
//! Rules do no I/O. Facts about files of the host (does this file exist?) are collected beforehand, see [`Files`].

mod content;
mod files;
mod finding;
mod fixing;
mod partitions;
mod rules;
mod run;
mod schema;
mod test_type;

pub use content::BundleContent;
pub use files::{FileFact, FileUse, Files, Program, referenced_files};
pub use finding::{Check, Finding, Findings, Level, Rule};
pub use fixing::{AppliedFix, Fixed, fix};
pub use partitions::{Partition, Partitions};
pub use rules::{
    DUPLICATE_KEY, LINT_ALLOWANCE, MISSPELT_KEY, RULES, SCHEMA, SYNTAX, UNKNOWN_KEY, WRONG_TYPE, names, rule,
};
pub use run::{LintResult, lint};
pub use schema::{KeyDoc, describe};
pub use test_type::{TYPE_SCHEMA_TEXT, is_type_definition};
