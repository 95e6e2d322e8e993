//! A kernel update in the guest. The guest's own package manager installs newer packages from an archive, and further
//! boots check that the update took effect.
//!
//! The archive reaches the guest as a disk, so no network is needed.

mod archive;
mod judge;

pub(super) use archive::Archive;
pub(super) use judge::{Kernels, judge_choice, judge_removal, judge_upgrade};

use serde::{Deserialize, Serialize};

/// The serial number of the disk with the archive, for /dev/disk/by-id.
pub(super) const SERIAL: &str = "ister-update";
const DIRECTORY: &str = "/var/cache/ister-update";

/// The result of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Update {
    /// The kernel before the update.
    pub from: String,
    /// The kernel that ran after the update.
    pub to: String,
    /// The package of the first kernel, if the archive contains it and it was reinstalled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reinstalled: Option<String>,
    /// Whether the old kernel was booted from the boot loader's menu while the new kernel's file was truncated. Nothing
    /// if ister did not install the boot loader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<bool>,
    /// Packages that were upgraded or reinstalled, with their versions.
    pub packages: Vec<String>,
}

/// Commands for the guest as it was published. `fallback`: the new kernel's file is truncated at the end.
pub(super) fn upgrade(fallback: bool) -> Vec<String> {
    let unpack = format!(
        "mkdir -p {DIRECTORY} && chmod 755 {DIRECTORY} && tar -xf /dev/disk/by-id/virtio-{SERIAL} -C {DIRECTORY} && \
         echo unpacked"
    );
    let steps = ["reinstall", "upgrade", "state"].into_iter().chain(fallback.then_some("break"));
    std::iter::once(unpack).chain(steps.map(script)).collect()
}

/// Commands for the old kernel, booted from the boot loader's menu.
pub(super) fn fix() -> Vec<String> {
    ["state", "fix"].map(script).to_vec()
}

/// Commands for the updated guest after a reboot.
pub(super) fn remove(kernels: &Kernels) -> Vec<String> {
    vec![script("state"), script(&format!("remove {}", kernels.old)), script("state")]
}

/// Commands after the old kernel was removed.
pub(super) fn last() -> Vec<String> {
    vec![script("state")]
}

fn script(arguments: &str) -> String {
    format!("sh {DIRECTORY}/update.sh {arguments}")
}
