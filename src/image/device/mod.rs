//! Block devices of this machine: how large they are, what is on them, and whether somebody needs them.
//!
//! Nothing is written here. A device is given out for writing only when nothing of this machine lives on it, see
//! [`open`]. How a plan comes to it and what is written is not known here.

mod contents;
mod facts;
mod uses;

pub use contents::{Found, contents};
pub use facts::{facts, table};
pub use uses::{Use, open};
