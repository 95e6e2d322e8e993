//! Tests of image types: their definitions in a directory such as `vm-tests/`, the commands that test them, and the
//! results.
//!
//! A type is data: a template, and next to it `type.json` with the machines that the published files have to boot on.
//! Each step of a test is a command of this program that can be repeated manually.

#[deny(clippy::disallowed_methods)]
mod changed;
mod definition;
pub(crate) mod history;
mod least_memory;
#[deny(clippy::disallowed_methods)]
mod limits;
mod memory_budget;
#[deny(clippy::disallowed_methods)]
mod merge;
#[deny(clippy::disallowed_methods)]
mod record;
mod run;
mod seed;
#[deny(clippy::disallowed_methods)]
mod shard;
#[deny(clippy::disallowed_methods)]
mod steps;
mod update;

pub(crate) use changed::{Ingredients, texts, touched};
#[cfg(test)]
pub(crate) use definition::Definition as TypeDefinition;
pub(crate) use definition::{ImageType, read_types};
pub(crate) use least_memory::{LeastMemory, least_memory};
pub(crate) use memory_budget::MemoryBudget;
pub(crate) use merge::{Merged, merge};
#[cfg(test)]
pub(crate) use record::FileRecord;
pub(crate) use record::{BootRecord, RESULTS_VERSION, Record, Results, StepOutcome, StepRecord, TestRun};
pub(crate) use run::prove;
pub(crate) use shard::{Shard, expected, longest_first, part};
pub(crate) use steps::{StepKind, TypePaths, boot_paths_picture};
