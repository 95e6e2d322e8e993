//! What a plan says.

use crate::layout::{Lba, SectorSize};
use crate::template::{Bytes, FilesystemType, SecretSource, SoftwareManager};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

/// Written to `<image>.plan.json`; a reader refuses a plan of another version.
pub const PLAN_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    /// The image's file name, without a folder.
    pub image: String,
    pub disk: Disk,
    pub partitions: Vec<Partition>,
    /// Nothing if no firmware can boot the image, as with a container's root filesystem.
    pub boot: Option<Boot>,
    pub content: Content,
    pub system: System,
    pub hooks: Hooks,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Bytes in a logical block: 512 or 4096.
    pub sector_size: SectorSize,
    /// In bytes.
    pub size: Bytes,
    pub guid: Uuid,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    pub number: u32,
    /// The name in the GPT entry.
    pub name: String,
    pub type_guid: Uuid,
    /// The partition's unique GUID, PARTUUID in Linux.
    pub guid: Uuid,
    pub first_lba: Lba,
    /// Inclusive, as in the table.
    pub last_lba: Lba,
    /// In bytes.
    pub size: Bytes,
    /// The legacy-BIOS-bootable attribute, bit 2. Source: UEFI 2.10, table 5.8.
    pub legacy_boot: bool,
    pub filesystem: Option<Filesystem>,
    pub mount: Option<String>,
}

impl Partition {
    /// "partition 3 (`/`)": how messages name it.
    pub fn title(&self) -> String {
        format!("partition {} (`{}`)", self.number, self.mount.as_deref().unwrap_or(&self.name))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Filesystem {
    #[serde(rename = "type")]
    pub kind: FilesystemType,
    /// As blkid prints it: a UUID, or vfat's `ABCD-1234`.
    pub uuid: String,
    pub label: Option<String>,
    /// The program that makes it, with [`DEVICE`](super::DEVICE) and [`TREE`](super::TREE) to be filled in.
    pub mkfs: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    Uefi,
    Bios,
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Firmware::Uefi => "UEFI",
            Firmware::Bios => "BIOS",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loader {
    SystemdBoot,
    Grub,
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Loader::SystemdBoot => "systemd-boot",
            Loader::Grub => "GRUB",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    pub firmware: Firmware,
    pub loader: Loader,
    /// The partition that the loader reads kernel and initramfs from.
    pub boot_partition: u32,
    pub root_partition: u32,
    pub kernel_command_line: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    pub manager: SoftwareManager,
    /// A suite (apt), a release number or "latest" (swupd, dnf).
    pub release: String,
    /// `-C URL`; nothing means the host's own package sources.
    pub archive: Option<String>,
    pub bundles: Vec<String>,
    /// What the bundles come to, sorted; empty where the manager itself resolves bundles.
    pub packages: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct System {
    pub hostname: Option<String>,
    pub users: Vec<UserPlan>,
    /// Files that are written into the tree: path and text.
    pub files: BTreeMap<String, String>,
    /// Symbolic links that are made in the tree: path and target.
    pub links: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserPlan {
    pub name: String,
    pub uid: Option<u32>,
    pub full_name: Option<String>,
    pub sudo: bool,
    pub password: Password,
    /// A line of authorized_keys.
    pub ssh_key: Option<String>,
}

/// What a user's shadow entry says; the hash itself is in [`Secrets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Password {
    Locked,
    Empty,
    Hash,
}

/// Programs and commands of the template, in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hooks {
    pub pre_install_shell: Vec<String>,
    pub post_non_chroot: Vec<String>,
    pub post_non_chroot_shell: Vec<String>,
    pub post_chroot: Vec<String>,
    pub post_chroot_shell: Vec<String>,
}

/// Where the secrets of a template come from, by user name.
#[derive(Clone, Default)]
pub struct Secrets {
    pub passwords: BTreeMap<String, SecretSource>,
    /// HTTPProxy and HTTPSProxy, whose URLs may carry a password.
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// As lines of apt.conf(5).
    pub fn apt_proxies(&self) -> impl Iterator<Item = String> {
        let line = |scheme: &str, url: &Option<String>| {
            url.as_ref().map(|url| format!("Acquire::{scheme}::Proxy \"{url}\";"))
        };
        line("http", &self.http_proxy).into_iter().chain(line("https", &self.https_proxy))
    }
}

impl Plan {
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.number == number)
    }

    pub fn partition_at(&self, mount: &str) -> Option<&Partition> {
        self.partitions.iter().find(|p| p.mount.as_deref() == Some(mount))
    }
}
