//! Native swupd client: installs a release and its bundles from any mix or mirror into a tree.
//!
//! The certificate verifies the release's list of bundles, the list contains the hash of each bundle's manifest, and
//! the manifest contains the hash of each object. Packs, tars and everything else from a mirror are untrusted. Where
//! upstream's client ignores an error, this one fails with a message.
//!
//! | pure logic | input and output |
//! | --- | --- |
//! | [`hash`], [`flags`], [`manifest`]: formats | [`source`], [`state`]: mirror and local store |
//! | [`signature`]: trust | [`compression`], [`object`]: bounded streams |
//! | [`closure`], [`merge`]: content of the tree | [`client`], [`fetch`], [`install`]: installation |

mod check;
mod client;
#[deny(clippy::disallowed_methods)]
mod closure;
mod compression;
mod fetch;
#[deny(clippy::disallowed_methods)]
mod flags;
#[deny(clippy::disallowed_methods)]
pub mod hash;
mod install;
#[deny(clippy::disallowed_methods)]
pub mod manifest;
#[deny(clippy::disallowed_methods)]
mod merge;
pub mod object;
mod object_file;
mod parallel;
mod request;
#[deny(clippy::disallowed_methods)]
pub mod signature;
mod source;
mod state;

pub use check::{Difference, DifferenceKind};
pub use client::Version;
pub use request::{BundleFact, InstallRequest, Installed, Listing, Task, Trusted};
pub use state::prune;
