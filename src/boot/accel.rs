//! Chooses the accelerator. An existing /dev/kvm proves nothing: in a virtual machine without nested virtualisation it
//! can be opened and even runs firmware, but a Linux guest makes almost no progress.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    Kvm,
    Tcg,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
        })
    }
}

/// The chosen accelerator and the reason for the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub accelerator: Accelerator,
    pub reason: String,
    /// How the host could have hardware acceleration.
    pub remedy: Option<&'static str>,
}

/// The state of /dev/kvm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Missing,
    Forbidden,
    Opens,
}

/// Chooses the accelerator for this host.
pub fn choose() -> Choice {
    let device = match std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => Device::Opens,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Device::Forbidden,
        Err(_) => Device::Missing,
    };
    decide(device, &std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn decide(device: Device, cpuinfo: &str) -> Choice {
    let virtualises = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.split_whitespace().any(|flag| flag == "vmx" || flag == "svm"));
    let tcg = |reason: &str, remedy: &'static str| Choice {
        accelerator: Accelerator::Tcg,
        reason: reason.to_owned(),
        remedy: Some(remedy),
    };
    match (device, virtualises) {
        (Device::Missing, true) => tcg("/dev/kvm does not exist", "load the module kvm_intel or kvm_amd"),
        (Device::Missing, false) => tcg(
            "/dev/kvm does not exist",
            "enable virtualization in the firmware, or nested virtualization in the host",
        ),
        (Device::Forbidden, _) => tcg(
            "no permission to open /dev/kvm (group kvm)",
            "add the user to the group: `sudo usermod -aG kvm $USER`, then log in again",
        ),
        (Device::Opens, false) => tcg(
            "/dev/kvm exists, but the CPU supports neither vmx nor svm",
            "enable nested virtualization in the host of this virtual machine",
        ),
        (Device::Opens, true) => Choice {
            accelerator: Accelerator::Kvm,
            reason: "/dev/kvm can be opened and the CPU supports virtualisation".to_owned(),
            remedy: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_is_not_used_without_cpu_support() {
        let with = "processor : 0\nflags\t\t: fpu vmx sse\n";
        let without = "processor : 0\nflags\t\t: fpu sse hypervisor\n";
        assert_eq!(decide(Device::Opens, with).accelerator, Accelerator::Kvm);
        assert_eq!(decide(Device::Opens, without).accelerator, Accelerator::Tcg);
        assert_eq!(decide(Device::Missing, with).accelerator, Accelerator::Tcg);
        assert!(decide(Device::Forbidden, with).reason.contains("group kvm"));
    }
}
