//! swupd's content, natively: a release and its bundles from any mix or mirror to a tree.
//!
//! Trust goes from the certificate to the release's list of bundles, from there by hash to each bundle's manifest, from there
//! by hash to each object. Packs, tars and whatever else a mirror serves are not trusted. Where upstream's client goes on
//! in silence, this one stops and says why.
//!
//! | decides | does |
//! | --- | --- |
//! | [`hash`], [`flags`], [`manifest`]: what bytes mean | [`source`], [`state`]: where bytes come from, and stay |
//! | [`signature`]: whom to trust | [`compression`], [`object`]: streams within bounds |
//! | [`closure`], [`merge`]: what the tree is | [`client`], [`fetch`], [`install`]: the tree |

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
mod parallel;
mod request;
#[deny(clippy::disallowed_methods)]
pub mod signature;
mod source;
mod state;

pub use check::{Difference, What};
pub use client::Version;
pub use request::{BundleFact, Installed, Listing, Request, Task, Trusted};
pub use state::prune;
