//! The build pipeline: content, customization, image, published files.
//!
//! Two processes share the work. The host side ([`build`]) handles the cache, the destination and the user. The
//! sandbox ([`run_in_sandbox`]) runs in an unprivileged user namespace and handles the root tree and all programs that
//! write into it. The host side sends it a [`Job`].

mod host_side;
mod sandbox;
mod secrets;
mod swupd;

pub use host_side::{
    BuildOptions, Built, Destination, EmbeddedTemplate, Prepared, build, pre_install, prepare, sibling_path,
    sweep,
};
pub use sandbox::run_in_sandbox;
pub use secrets::read_secret;

pub use swupd::swupd_in_namespace;

use crate::content::swupd::{InstallRequest, Task};
use crate::content::{ContentRequest, Inventory, Metadata};
use crate::image::customize::HookFiles;
use crate::plan::Plan;
use crate::template::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A job for the sandbox. Its open files are passed along with it.
#[derive(Serialize, Deserialize)]
enum Job {
    /// Install content and pack it into the only file.
    Fill {
        workspace: PathBuf,
        request: Box<ContentRequest>,
        /// Approximate size of the tree in bytes, if known.
        size: Option<u64>,
    },
    /// Remove files that killed builds left in the workspace directory, which is used if memory is short.
    Sweep { workspace: PathBuf },
    /// Install swupd content into a directory of the host, or verify such a directory.
    Swupd { request: Box<InstallRequest>, task: Task, tree: PathBuf },
    /// Unpack the content from the first file, customize it and write the disks to the other files.
    Assemble(Box<AssembleJob>),
}

#[derive(Serialize, Deserialize)]
struct AssembleJob {
    workspace: PathBuf,
    plan: Plan,
    /// crypt(3) hashes by user name. They are passed through a pipe, never as an argument.
    hashes: BTreeMap<String, Secret>,
    /// Passphrases by mapping name, passed in the same way.
    passphrases: BTreeMap<String, Secret>,
    /// Size of the packed tree in bytes.
    content_size: u64,
    content_hash: String,
    /// Seconds since 1970.
    epoch: u64,
    /// `--seed`.
    seed: Option<String>,
    /// Timeout of each hook in seconds.
    hook_seconds: u64,
    /// Whether to record the files that each hook changes.
    watch_hooks: bool,
    /// Templates and content embedded in an installer. Their packed trees follow the disks in the list of files.
    embedded: Vec<EmbeddedFile>,
    /// cloud-init user data of the machine's role.
    user_data: Option<Vec<u8>>,
    /// Directory of the host where hooks see the root tree.
    shown_at: Option<PathBuf>,
    /// Directory of the host that receives a copy of the finished root tree.
    keep_in: Option<PathBuf>,
    /// Where relative paths of `PostNonChroot` start; `None` for the working directory.
    programs_in: Option<PathBuf>,
    /// Whether to pack the finished root tree into the last file.
    pack_tree: bool,
}

/// A template embedded in an installer, and the cache entry of its content.
#[derive(Serialize, Deserialize)]
struct EmbeddedFile {
    /// File name and text of the template.
    name: String,
    text: String,
    key: String,
    metadata: Metadata,
}

/// Result of [`Job::Assemble`].
#[derive(Serialize, Deserialize, PartialEq)]
enum Assembled {
    Done(Inventory, Vec<HookFiles>),
    /// The packed tree does not match its hash and has to be installed again.
    ContentDamaged,
}
