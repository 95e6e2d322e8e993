//! A kernel update in the guest: an archive of newer packages, which the guest's own package manager installs, and whether what
//! it did is what boots from then on.
//!
//! The archive reaches the guest as a disk, so no network is needed.

mod archive;
mod judge;

pub use archive::Archive;
pub use judge::{Kernels, judge_removal, judge_upgrade};

use serde::{Deserialize, Serialize};

/// The name of the disk that carries the archive, for udev's /dev/disk/by-id.
pub const SERIAL: &str = "ister-update";
const FOLDER: &str = "/var/cache/ister-update";

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The kernel before.
    pub from: String,
    /// The one that ran after it.
    pub to: String,
    /// The package of the first kernel, if the archive had it to be installed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reinstalled: Option<String>,
    /// Packages that became newer or came anew, with their versions.
    pub packages: Vec<String>,
}

/// In the guest as it was published.
pub fn upgrade() -> Vec<String> {
    let unpack = format!(
        "mkdir -p {FOLDER} && chmod 755 {FOLDER} && tar -xf /dev/disk/by-id/virtio-{SERIAL} -C {FOLDER} && echo unpacked"
    );
    [vec![unpack], ["reinstall", "upgrade", "state"].map(script).to_vec()].concat()
}

/// In the updated guest, after it was started again.
pub fn remove(kernels: &Kernels) -> Vec<String> {
    vec![script("state"), script(&format!("remove {}", kernels.old)), script("state")]
}

/// With the new kernel alone.
pub fn last() -> Vec<String> {
    vec![script("state")]
}

fn script(arguments: &str) -> String {
    format!("sh {FOLDER}/update.sh {arguments}")
}
