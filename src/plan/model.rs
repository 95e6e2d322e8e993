//! What a plan says.

use crate::plan::layout::{Lba, SectorSize};
use crate::template::{Bytes, Destination, FilesystemType, Format, SecretSource, SoftwareManager};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use uuid::Uuid;

pub use crate::template::Loader;

/// Written to `<image>.plan.json`; a reader refuses a plan of another version.
pub const PLAN_VERSION: u32 = 5;

/// JSON Schema 2020-12 of a plan, `schema/ister-plan.schema.json`.
pub const PLAN_SCHEMA_TEXT: &str = include_str!("../../schema/ister-plan.schema.json");

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Plan {
    pub version: u32,
    /// Whether the disks are image files or block devices of this machine.
    pub destination: Destination,
    /// One image file, or one or more block devices.
    pub disks: Vec<Disk>,
    /// Nothing if no firmware can boot it, as with a container's root filesystem.
    pub boot: Option<Boot>,
    pub content: Content,
    pub system: System,
    pub hooks: Hooks,
    /// Files that are made besides the raw image (`Formats`).
    pub published: Vec<Published>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Published {
    pub format: Format,
    /// Its file name, without a directory.
    pub name: String,
}

impl Published {
    /// Whether a machine starts from it.
    pub fn is_bootable(&self) -> bool {
        !matches!(self.format, Format::Tar | Format::TarXz | Format::Oci)
    }

    /// Whether it is made of the root tree and not of the disk.
    pub fn is_of_tree(&self) -> bool {
        matches!(self.format, Format::Tar | Format::TarXz | Format::Oci | Format::Pxe | Format::Iso)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Disk {
    /// An image's file name without a directory, or a device's name under /dev.
    pub name: String,
    /// Bytes in a logical block: 512 or 4096.
    pub sector_size: SectorSize,
    /// In bytes.
    pub size: Bytes,
    pub guid: Uuid,
    /// The partition table that is there stays as it is (`DisabledNewPartitions`).
    pub keeps_table: bool,
    /// The first block that belongs to a partition: what lies between the table and it is free for a loader.
    pub partitions_from: Lba,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// The attribute that keeps systemd's GPT generator away, bit 63: something else opens or mounts it. Source: The
    /// Discoverable Partitions Specification (UAPI.2), "Partition Flags".
    pub no_auto: bool,
    /// LUKS2 around the filesystem.
    pub encryption: Option<Encryption>,
    pub filesystem: Option<Filesystem>,
    pub mount: Option<String>,
    pub space: Option<Space>,
}

impl Partition {
    /// "partition 3 (`/`)": how messages name it.
    pub fn title(&self) -> String {
        format!("partition {} (`{}`)", self.number, self.mount.as_deref().unwrap_or(&self.name))
    }

    /// The device that holds the filesystem, as the running system names it.
    pub fn device(&self) -> String {
        match &self.encryption {
            Some(encryption) => format!("/dev/mapper/{}", encryption.name),
            None => format!("/dev/disk/by-partuuid/{}", self.guid),
        }
    }

    /// Bytes from the partition's start to its filesystem.
    pub fn filesystem_offset(&self) -> Bytes {
        if self.encryption.is_some() { LUKS_DATA_OFFSET } else { Bytes(0) }
    }
}

/// Where the data begins behind a LUKS2 header. Source: LUKS2 On-Disk Format Specification, 3.1; cryptsetup's default.
pub const LUKS_DATA_OFFSET: Bytes = Bytes(16 << 20);

/// aes-xts-plain64 with a key of 512 bits; the passphrase is in [`Secrets`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Encryption {
    /// What the running system calls the opened volume: /dev/mapper/NAME.
    pub name: String,
    /// The LUKS header's own UUID.
    pub uuid: Uuid,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Filesystem {
    #[serde(rename = "type")]
    pub kind: FilesystemType,
    /// As blkid prints it: a UUID, or vfat's `ABCD-1234`. Nothing if the filesystem is kept.
    pub uuid: Option<String>,
    pub label: Option<String>,
    /// The filesystem that is there stays, with its files (`disable_format`).
    pub keep: bool,
    /// The program that makes it, with [`DEVICE`](super::DEVICE) and [`TREE`](super::TREE) to be filled in.
    pub mkfs: Vec<String>,
}

/// What a filesystem offers, and what the content makes of it. All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Space {
    /// Room for content after the filesystem's own structures.
    pub offers: Bytes,
    /// Files and directories that it has room for, where that is fixed.
    pub inodes: Option<u64>,
    /// A file takes whole multiples of this.
    pub allocation_unit: Bytes,
    /// What every file or directory takes besides.
    pub per_file: Bytes,
    /// What the content takes, once it is known.
    pub holds: Option<Bytes>,
    /// What is left then.
    pub left: Option<Bytes>,
    /// On the loader's partition: what a second kernel with its initramfs would take.
    pub another_kernel: Option<Bytes>,
}

/// A partition of one of the plan's disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Place {
    pub disk: String,
    pub partition: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Boot {
    pub firmware: Firmware,
    pub loader: Loader,
    /// The partition that the loader reads kernel and initramfs from.
    pub boot_partition: Place,
    /// Where the system mounts the ESP: nothing if BIOS starts the loader. /efi where kernel-install copies kernels to it,
    /// /boot/efi where GRUB reads them from /boot, /boot where the content's own tools keep them there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub esp: Option<String>,
    pub root_partition: Place,
    pub kernel_command_line: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Content {
    pub manager: SoftwareManager,
    /// A suite (apt), a release number or "latest" (swupd, dnf).
    pub release: String,
    /// `-C URL`; nothing means the host's own package sources.
    pub archive: Option<String>,
    /// Of that archive's suite, for apt: "main".
    pub components: Vec<String>,
    /// Further sources, for apt: lines of sources.list(5).
    pub sources: Vec<String>,
    /// The file that the content's signatures are checked with, if not the host's own keys.
    pub keyring: Option<String>,
    /// dnf's own configuration file.
    pub configuration: Option<String>,
    /// What only swupd asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swupd: Option<SwupdContent>,
    pub bundles: Vec<String>,
    /// What the bundles come to, sorted; empty where the manager itself resolves bundles.
    pub packages: Vec<String>,
}

impl Content {
    /// What is asked of the manager by name: packages, or bundles where it knows them itself.
    pub fn wanted(&self) -> &[String] {
        if self.manager == SoftwareManager::Swupd { &self.bundles } else { &self.packages }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SwupdContent {
    /// `-V URL`: where the newest version is asked for; nothing means where the content is.
    pub version_url: Option<String>,
    /// `-f NUMBER`, or "staging"; nothing means the host's, or whatever the version has.
    pub format: Option<String>,
    /// `--skip-optional`.
    pub skip_optional: bool,
    /// `--no-sigcheck`: nobody's signature is asked for.
    pub unsigned: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct System {
    pub hostname: Option<String>,
    pub users: Vec<UserPlan>,
    /// Files that are written into the tree: path and text.
    pub files: BTreeMap<String, String>,
    /// Symbolic links that are made in the tree: path and target.
    pub links: BTreeMap<String, String>,
    /// Files that the initramfs needs besides the content's own: path and text.
    pub initramfs: BTreeMap<String, String>,
    /// `dns` of Static_IP: for systems without systemd-resolved, which learns it from the network's own file.
    pub name_server: Option<String>,
    /// MirrorURL, for apt and dnf: where the installed system gets its packages from.
    pub mirror: Option<String>,
    /// IsterCloudInitSvc: who knows the machine's role. It is asked when the image is built.
    pub cloud_init_service: Option<String>,
    /// `--carry`: the system installs others.
    pub installer: Option<Installer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Installer {
    /// File names of the templates whose content it carries.
    pub templates: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Password {
    Locked,
    Empty,
    Hash,
}

/// Programs and commands of the template, in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hooks {
    pub pre_install_shell: Vec<String>,
    pub post_non_chroot: Vec<String>,
    pub post_non_chroot_shell: Vec<String>,
    pub post_chroot: Vec<String>,
    pub post_chroot_shell: Vec<String>,
}

/// Where the secrets of a template come from.
#[derive(Clone, Default)]
pub struct Secrets {
    pub passwords: BTreeMap<String, SecretSource>,
    /// By the name of the mapping.
    pub passphrases: BTreeMap<String, SecretSource>,
    /// HTTPProxy and HTTPSProxy, whose URLs may carry a password.
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    /// IsterCloudInitSvc as it stands in the template; the plan has it without a password.
    pub cloud_init_service: Option<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// As the variables that most programs know.
    pub fn proxy_variables(&self) -> Vec<(String, String)> {
        let named = [("http_proxy", &self.http_proxy), ("https_proxy", &self.https_proxy)];
        named.into_iter().filter_map(|(name, url)| Some((name.to_owned(), url.clone()?))).collect()
    }

    /// As lines of apt.conf(5).
    pub fn apt_proxies(&self) -> impl Iterator<Item = String> {
        let line = |scheme: &str, url: &Option<String>| {
            url.as_ref().map(|url| format!("Acquire::{scheme}::Proxy \"{url}\";"))
        };
        line("http", &self.http_proxy).into_iter().chain(line("https", &self.https_proxy))
    }
}

impl Plan {
    /// The image's file name; nothing if the disks are devices.
    pub fn image(&self) -> Option<&str> {
        let disk = self.disks.first().filter(|_| self.destination == Destination::Virtual)?;
        Some(&disk.name)
    }

    /// All partitions of all disks.
    pub fn partitions(&self) -> impl Iterator<Item = (&Disk, &Partition)> {
        self.disks.iter().flat_map(|disk| disk.partitions.iter().map(move |partition| (disk, partition)))
    }

    pub fn partition(&self, place: &Place) -> Option<(&Disk, &Partition)> {
        self.partitions().find(|(disk, p)| disk.name == place.disk && p.number == place.partition)
    }

    pub fn partition_at(&self, mount: &str) -> Option<(&Disk, &Partition)> {
        self.partitions().find(|(_, p)| p.mount.as_deref() == Some(mount))
    }
}

impl Disk {
    /// Whether what is in a partition stays as it is: its filesystem is kept, or the table is and nothing is made there.
    pub fn stays(&self, partition: &Partition) -> bool {
        match &partition.filesystem {
            Some(filesystem) => filesystem.keep,
            None => self.keeps_table,
        }
    }

    /// Bytes from the disk's start to the partition's.
    pub fn offset(&self, partition: &Partition) -> Bytes {
        Bytes(partition.first_lba.0 * self.sector_size.bytes())
    }
}
