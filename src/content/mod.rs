//! Image content: installs packages into a root tree and caches the result.
//!
//! Each distinct set of packages is installed once, packed into one file of the [`Cache`] and unpacked from there for
//! every image. Cold and warm builds therefore take the same path. This module is independent of disk layout.

mod apt;
mod apt_output;
mod cache;
mod dnf;
mod dnf_output;
pub mod fetch;
mod footprint;
mod local_index;
mod pack;
mod packages;
mod prepare;
pub mod provision;
mod request;
mod sources;
pub mod swupd;
mod swupd_content;
mod tree;

pub use apt::{AptRequest, Keyring};
pub use cache::{Cache, CacheEntry, ContentKey, Metadata, PendingEntry, cache_names};
pub use dnf::{DATABASES as RPM_DATABASES, DnfRequest, KEYS as RPM_KEYS};
pub use footprint::footprint;
pub use local_index::{base_urls, local_indexes};
pub use pack::{pack, unpack};
pub use packages::{Inventory, Package, inventory};
pub use prepare::limit_password_days;
pub use request::{ContentRequest, fill};
pub use sources::{allow_expired_snapshot, apt_options, architecture, keyring, sources_for};
pub use swupd_content::{SwupdRequest, swupd_request, swupd_trust};
pub use tree::Tree;
