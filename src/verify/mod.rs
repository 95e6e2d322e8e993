//! Static verification: what an image says of itself, held against the rules of its formats, against its plan, and against
//! what a published image must not contain. Nothing is mounted, nothing is written, nothing is booted, and how the image was
//! built is not known.
//!
//! Two steps: [`examine`] reads everything into [`Facts`] (and has each filesystem looked at by its own fsck), [`judge`]
//! runs the [`RULES`] over them. Rules are pure functions, one table; they cannot fail.

pub mod boot_path;
pub mod compare;
mod examine;
mod facts;
mod fsck;
mod medium;
mod package_files;
mod programs;
mod rule;
mod rules;
mod system;

pub use examine::{Examination, examine, read_table, table_of};
pub use facts::{Facts, PartitionFacts, Scheme, TableFacts};
pub use medium::{MediumFacts, examine_medium};
pub use rule::{Check, Finding, Findings, Place, Rule};
pub use rules::{RULES, judge, judge_medium, names, rule};
