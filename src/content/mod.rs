//! Content: filling a root tree, and keeping filled trees.
//!
//! A tree is filled once for each set of packages, packed into one file of the [`Cache`], and unpacked from there
//! for every image: building with a cold and with a warm cache takes the same way. Nothing here knows disks.

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
pub use cache::{Cache, Entry, Filling, Metadata, Wanted, cache_names};
pub use dnf::{DATABASES as RPM_DATABASES, DnfRequest, KEYS as RPM_KEYS};
pub use footprint::footprint;
pub use local_index::{base_urls, local_indexes};
pub use pack::{pack, unpack};
pub use packages::{Inventory, Package, inventory};
pub use prepare::limit_password_days;
pub use request::{ContentRequest, fill};
pub use sources::{apt_options, architecture, keyring, of_its_time, sources_for};
pub use swupd_content::{SwupdRequest, swupd_request, swupd_trust};
pub use tree::Tree;
