//! Static verification of images. An image is checked against the specifications of its formats, against its plan, and
//! for contents that must not be published. Nothing is mounted, written or booted, and the image may come from any
//! build tool.
//!
//! There are two steps: [`examine`] reads everything into [`Facts`] and runs fsck on each filesystem; [`judge`] runs the
//! [`RULES`] on the facts. Rules are pure functions in one table and cannot fail.

pub mod boot_path;
pub mod compare;
mod examine;
mod facts;
mod fsck;
mod medium;
mod package_files;
mod pam;
mod programs;
mod rule;
mod rules;
mod system;

pub use examine::{Examination, StartFiles, default_start, examine, read_table, table_of};
pub use facts::{Facts, PartitionFacts, Scheme, TableFacts};
pub use medium::{MediumFacts, examine_medium};
pub use rule::{Check, Finding, Findings, Location, Rule};
pub use rules::{RULES, judge, judge_medium, names, rule};
