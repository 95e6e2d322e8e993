//! Image types under test: what a folder of `vm-tests/` says of each, the commands that prove it, and what they came to.
//!
//! A type is data: a template, and beside it `type.json` with the machines that its published files have to boot on. Each step
//! of a test is a command of this program, which people can repeat by hand.

mod definition;
#[deny(clippy::disallowed_methods)]
mod record;
mod seed;
#[deny(clippy::disallowed_methods)]
mod steps;

pub use definition::{ImageType, read_types};
pub use record::{Record, StepOutcome, StepRecord, junit};
pub use seed::write_seed;
pub use steps::{Place, Step, StepKind, build_step, steps};
