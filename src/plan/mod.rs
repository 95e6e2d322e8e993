//! The plan: everything decided, nothing done.
//!
//! A [`Plan`] holds every size, block address, GUID, filesystem UUID, argument vector and file that an image
//! will have. `ister plan` prints it, `ister build` carries out exactly it and leaves it beside the image, the
//! harness learns from it what to expect. Making one is pure: template, bundle definitions and the texts of key
//! files in, value out. Secrets are not in it: [`Secrets`] travel beside it.

mod decide;
mod identity;
mod mkfs;
mod model;
mod unit;

pub use decide::{Inputs, Refusal, decide, unsupported};
pub use mkfs::{DEVICE, TREE};
pub use model::*;
