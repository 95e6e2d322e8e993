//! The plan: every decision about an image, made before anything is written.
//!
//! A [`Plan`] contains every size, block address, GUID, filesystem UUID, argument vector and file of an image.
//! `ister plan` prints it, `ister build` executes it and writes it next to the image, and image tests compare the image
//! with it. Creating a plan does no I/O: it depends only on the template, the bundle definitions and the other
//! [`Inputs`]. A plan contains no secrets; they are in [`Secrets`].

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

pub use content::NETWORK_MANAGERS;
pub use decide::{decide, decide_content};
pub use diskless::Diskless;
pub use disks::ESP;
pub use inputs::{
    ContentItem, Device, ExistingPartition, ExistingTable, Footprint, Inputs, ItemKind, Origin, PlanError,
};
pub use installer::{CACHE as INSTALLER_CACHE, TEMPLATES as INSTALLER_TEMPLATES};
pub use mkfs::{DEVICE, TREE};
pub use model::*;
pub use space::{Usage, usage};
pub use swupd_format::SwupdFormat;
pub use unsupported::unsupported;
