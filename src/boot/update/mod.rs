//! A kernel update in the guest: an archive of newer packages, which the guest's own package manager installs, and whether what
//! it did is what boots from then on.
//!
//! The archive reaches the guest as a disk, so no network is needed.

mod archive;
mod judge;

pub(super) use archive::Archive;
pub(super) use judge::{Kernels, judge_choice, judge_removal, judge_upgrade};

use serde::{Deserialize, Serialize};

/// The name of the disk that carries the archive, for udev's /dev/disk/by-id.
pub(super) const SERIAL: &str = "ister-update";
const DIRECTORY: &str = "/var/cache/ister-update";

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Update {
    /// The kernel before.
    pub from: String,
    /// The one that ran after it.
    pub to: String,
    /// The package of the first kernel, if the archive had it to be installed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reinstalled: Option<String>,
    /// Whether the kernel before was started from the loader's menu, while the new one's file was truncated; nothing where the loader is
    /// not one of ister's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<bool>,
    /// Packages that became newer or came again, with their versions.
    pub packages: Vec<String>,
}

/// In the guest as it was published. `fallback`: the new kernel is broken in the end.
pub(super) fn upgrade(fallback: bool) -> Vec<String> {
    let unpack = format!(
        "mkdir -p {DIRECTORY} && chmod 755 {DIRECTORY} && tar -xf /dev/disk/by-id/virtio-{SERIAL} -C {DIRECTORY} && echo unpacked"
    );
    let steps = ["reinstall", "upgrade", "state"].into_iter().chain(fallback.then_some("break"));
    std::iter::once(unpack).chain(steps.map(script)).collect()
}

/// With the old kernel, from the loader's menu.
pub(super) fn fix() -> Vec<String> {
    ["state", "fix"].map(script).to_vec()
}

/// In the updated guest, after it was started again.
pub(super) fn remove(kernels: &Kernels) -> Vec<String> {
    vec![script("state"), script(&format!("remove {}", kernels.old)), script("state")]
}

/// With the new kernel alone.
pub(super) fn last() -> Vec<String> {
    vec![script("state")]
}

fn script(arguments: &str) -> String {
    format!("sh {DIRECTORY}/update.sh {arguments}")
}
