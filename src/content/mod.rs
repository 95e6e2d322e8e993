//! Content: filling a root tree, and keeping filled trees.
//!
//! A tree is filled once for each set of packages, packed into one file of the [`Cache`], and unpacked from there
//! for every image: building with a cold and with a warm cache takes the same way. Nothing here knows disks.

mod apt;
mod cache;
mod footprint;
mod pack;
mod prepare;
mod sources;
mod tree;

pub use apt::{ContentRequest, fill};
pub use cache::{Cache, Entry, Filling, Metadata, Wanted};
pub use footprint::footprint;
pub use pack::{pack, unpack};
pub use sources::{apt_options, architecture, sources_for};
pub use tree::Tree;
