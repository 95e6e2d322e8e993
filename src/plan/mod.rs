//! The plan: everything decided, nothing done.
//!
//! A [`Plan`] holds every size, block address, GUID, filesystem UUID, argument vector and file that an image
//! will have. `ister plan` prints it, `ister build` carries out exactly it and leaves it beside the image, the
//! harness learns from it what to expect. Making one is pure: template, bundle definitions and the texts of key
//! files in, value out. Secrets are not in it: [`Secrets`] travel beside it.

pub mod bls;
mod boot;
pub mod bundle;
pub mod capacity;
pub mod command_line;
mod content;
mod decide;
mod diskless;
mod disks;
mod identity;
mod inputs;
mod installer;
pub mod layout;
mod mkfs;
mod model;
pub mod published;
mod space;
mod swupd_format;
mod system;
mod unit;
mod unsupported;

pub use decide::{decide, decide_content};
pub use diskless::Diskless;
pub use disks::ESP;
pub use inputs::{
    Device, ExistingPartition, ExistingTable, Footprint, Inputs, Item, ItemKind, Origin, Refusal,
};
pub use installer::{CACHE as INSTALLER_CACHE, TEMPLATES as INSTALLER_TEMPLATES};
pub use mkfs::{DEVICE, TREE};
pub use model::*;
pub use space::{Usage, usage};
pub use swupd_format::SwupdFormat;
pub use unsupported::unsupported;
