//! The conductor: takes a plan through content, customisation and image, to files beside each other.
//!
//! Two sides share the work. Outside ([`build`]) are the cache, the destination and the user; inside
//! ([`work_inside`]), in a namespace without privileges, are the tree and all programs that write into it. A
//! [`Job`] is what goes in.

mod host_side;
mod sandbox;
mod secrets;
mod swupd;

pub use host_side::{
    BuildOptions, Built, Carried, Destination, Prepared, beside, build, pre_install, prepare, sweep,
};
pub use sandbox::work_inside;
pub use secrets::read_secret;

pub use swupd::swupd_in_namespace;

use crate::content::swupd::{Request, Task};
use crate::content::{ContentRequest, Inventory, Metadata};
use crate::image::customize::HookFiles;
use crate::plan::Plan;
use crate::template::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Work for the namespace; the files it works on go with it.
#[derive(Serialize, Deserialize)]
enum Job {
    /// Install content, pack it into the one file.
    Fill {
        workspace: PathBuf,
        request: Box<ContentRequest>,
        /// Bytes of the tree, about, if that is known.
        size: Option<u64>,
    },
    /// Remove what killed builds left in the workspace directory, where memory had been short.
    Sweep { workspace: PathBuf },
    /// Install swupd's content into a directory of the host, or compare it with one.
    Swupd { request: Box<Request>, task: Task, tree: PathBuf },
    /// Unpack the content, the first file; customise it; write the disks, the others.
    Assemble(Box<AssembleJob>),
}

#[derive(Serialize, Deserialize)]
struct AssembleJob {
    workspace: PathBuf,
    plan: Plan,
    /// crypt(3) hashes by user name. They travel through a pipe, never as an argument.
    hashes: BTreeMap<String, Secret>,
    /// By the name of the mapping; they travel the same way.
    passphrases: BTreeMap<String, Secret>,
    /// Bytes of the packed tree.
    content_size: u64,
    content_hash: String,
    /// Seconds since 1970.
    epoch: u64,
    /// `--seed`.
    seed: Option<String>,
    /// The most seconds that a hook may take.
    hook_seconds: u64,
    /// Whether it counts which files each hook changes.
    watch_hooks: bool,
    /// Templates and content that an installer carries; the packed trees come behind the disks.
    carried: Vec<CarriedFile>,
    /// User data of the machine's role.
    user_data: Option<Vec<u8>>,
    /// A directory of the host that hooks find the tree in.
    shown_at: Option<PathBuf>,
    /// A directory of the host that the finished tree is left in.
    keep_in: Option<PathBuf>,
    /// The finished tree is packed into the last file.
    pack_tree: bool,
}

/// A template that an installer carries, and what its content is in the cache.
#[derive(Serialize, Deserialize)]
struct CarriedFile {
    /// The template's file name, and its text.
    name: String,
    text: String,
    key: String,
    metadata: Metadata,
}

/// What [`Job::Assemble`] comes to.
#[derive(Serialize, Deserialize, PartialEq)]
enum Assembled {
    Done(Inventory, Vec<HookFiles>),
    /// The packed tree is not what its hash says: fill it again.
    ContentDamaged,
}
