//! Block devices of this machine: their sizes, contents and current uses.
//!
//! This module writes nothing. It opens a device for writing only if this machine does not use it, see [`open`].

mod contents;
mod facts;
mod uses;

pub use contents::{DeviceContent, contents};
pub use facts::{facts, table};
pub use uses::{Use, open};
