//! The data model of a plan.

use crate::plan::layout::{Lba, SectorSize};
use crate::template::{Bytes, Destination, FilesystemType, Format, SecretSource, SoftwareManager};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use uuid::Uuid;

pub use crate::template::Loader;

/// The format version of `<image>.plan.json`. Plans of other versions are rejected.
pub const PLAN_VERSION: u32 = 5;

/// The JSON Schema 2020-12 of a plan, `schema/ister-plan.schema.json`.
pub const PLAN_SCHEMA_TEXT: &str = include_str!("../../schema/ister-plan.schema.json");

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Plan {
    /// Version of the plan format, increased with every incompatible change.
    #[cfg_attr(test, schemars(extend("const" = PLAN_VERSION)))]
    pub version: u32,
    /// Whether the disks are image files or block devices of this machine.
    pub destination: Destination,
    /// One image file, or one or more block devices.
    pub disks: Vec<Disk>,
    /// `None` if no firmware can boot the image, for example a container root filesystem.
    pub boot: Option<Boot>,
    pub content: Content,
    pub system: System,
    pub hooks: Hooks,
    /// Files that are published in addition to the raw image (`Formats`).
    pub published: Vec<Published>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Published {
    /// Format, as in `Formats` of the template.
    pub format: Format,
    /// The file name, without a directory.
    pub name: String,
}

impl Published {
    /// Whether a machine can boot from it.
    pub fn is_bootable(&self) -> bool {
        !matches!(self.format, Format::Tar | Format::TarXz | Format::Oci)
    }

    /// Whether it is created from the root filesystem instead of the disk.
    pub fn is_from_tree(&self) -> bool {
        matches!(self.format, Format::Tar | Format::TarXz | Format::Oci | Format::Pxe | Format::Iso)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Disk {
    /// The file name of the image without a directory, or the name of a device under /dev.
    pub name: String,
    /// The size of a logical block in bytes: 512 or 4096.
    pub sector_size: SectorSize,
    /// In bytes.
    pub size: Bytes,
    /// The disk GUID in the partition table.
    pub guid: Uuid,
    /// The existing partition table is preserved (`DisabledNewPartitions`).
    pub keeps_table: bool,
    /// The first block of a partition. The blocks between the table and this one are available to a boot loader.
    pub partitions_from: Lba,
    /// Sorted by number.
    pub partitions: Vec<Partition>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Partition {
    /// Partition number, starting at 1.
    #[cfg_attr(test, schemars(range(min = 1, max = 128)))]
    pub number: u32,
    /// The name in the GPT entry.
    pub name: String,
    /// The partition type GUID.
    pub type_guid: Uuid,
    /// The partition's unique GUID, PARTUUID in Linux.
    pub guid: Uuid,
    /// Address of the first block.
    pub first_lba: Lba,
    /// Inclusive, as in the table.
    pub last_lba: Lba,
    /// In bytes.
    pub size: Bytes,
    /// Attribute bit 2, legacy BIOS bootable. Source: UEFI 2.10, table 5.8.
    pub legacy_boot: bool,
    /// Attribute bit 63, no-auto: systemd-gpt-auto-generator ignores the partition, which is opened or mounted
    /// otherwise. Source: The Discoverable Partitions Specification (UAPI.2), "Partition Flags".
    pub no_auto: bool,
    /// LUKS2 encryption of the filesystem.
    pub encryption: Option<Encryption>,
    /// Null if the partition is left without a filesystem.
    pub filesystem: Option<Filesystem>,
    /// Mount point; null if it is not mounted.
    pub mount: Option<String>,
    /// Space forecast; null if it cannot be computed.
    pub space: Option<Space>,
}

impl Partition {
    /// The name in messages: "partition 3 (`/`)".
    pub fn title(&self) -> String {
        format!("partition {} (`{}`)", self.number, self.mount.as_deref().unwrap_or(&self.name))
    }

    /// The device of the filesystem in the running system.
    pub fn device(&self) -> String {
        match &self.encryption {
            Some(encryption) => format!("/dev/mapper/{}", encryption.name),
            None => format!("/dev/disk/by-partuuid/{}", self.guid),
        }
    }

    /// The offset of the filesystem in the partition, in bytes.
    pub fn filesystem_offset(&self) -> Bytes {
        if self.encryption.is_some() { LUKS_DATA_OFFSET } else { Bytes(0) }
    }
}

/// The offset of the data after the LUKS2 header. Source: LUKS2 On-Disk Format Specification, 3.1; cryptsetup's
/// default.
pub const LUKS_DATA_OFFSET: Bytes = Bytes(16 << 20);

/// A LUKS2 volume with aes-xts-plain64 and a 512-bit key. The passphrase is not part of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Encryption {
    /// The name of the opened volume: /dev/mapper/NAME.
    pub name: String,
    /// The UUID in the LUKS header.
    pub uuid: Uuid,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Filesystem {
    #[serde(rename = "type")]
    pub kind: FilesystemType,
    /// The UUID as printed by blkid, for vfat in the form `ABCD-1234`. `None` if the filesystem is preserved.
    pub uuid: Option<String>,
    /// Filesystem label; null if there is none.
    pub label: Option<String>,
    /// The existing filesystem and its files are preserved (`disable_format`).
    pub keep: bool,
    /// The mkfs program and its arguments, with the placeholders `{device}` for the device and `{tree}` for the root tree.
    pub mkfs: Vec<String>,
}

/// The capacity of a filesystem and the space that its content takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Space {
    /// The capacity for content, without the structures of the filesystem.
    pub offers: Bytes,
    /// The maximum number of files and directories, if it is fixed.
    pub inodes: Option<u64>,
    /// The space of a file is rounded up to a multiple of this.
    pub allocation_unit: Bytes,
    /// Additional space for each file or directory.
    pub per_file: Bytes,
    /// The space that the content takes; `None` if the content is not known yet.
    pub holds: Option<Bytes>,
    /// The remaining free space.
    pub left: Option<Bytes>,
    /// On the boot loader's partition: the space that a second kernel with its initramfs would take.
    pub another_kernel: Option<Bytes>,
}

/// A partition of one of the plan's disks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PartitionId {
    /// Name of the disk.
    pub disk: String,
    /// Partition number.
    #[cfg_attr(test, schemars(range(min = 1, max = 128)))]
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
    /// The partition from which the boot loader reads the kernel and the initramfs.
    pub boot_partition: PartitionId,
    /// The mount point of the ESP; `None` if the image boots with BIOS. /efi if kernel-install copies kernels to the
    /// ESP, /boot/efi if GRUB reads them from /boot, /boot if the tools of the content store them there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub esp: Option<String>,
    pub root_partition: PartitionId,
    /// The complete kernel command line.
    pub kernel_command_line: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Content {
    pub manager: SoftwareManager,
    /// A suite (apt), or a release number or "latest" (swupd, dnf).
    pub release: String,
    /// `-C URL`; `None` for the package sources of the host.
    pub archive: Option<String>,
    /// Components of the suite, for apt: "main".
    pub components: Vec<String>,
    /// Additional package sources, for apt: lines of sources.list(5).
    pub sources: Vec<String>,
    /// The file with the keys for signature verification; `None` for the keys of the host.
    pub keyring: Option<String>,
    /// The configuration file of dnf.
    pub configuration: Option<String>,
    /// Settings for swupd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swupd: Option<SwupdContent>,
    /// Requested bundles, sorted.
    pub bundles: Vec<String>,
    /// The packages of the bundles, sorted; empty if the software manager resolves bundles.
    pub packages: Vec<String>,
}

impl Content {
    /// The names that are passed to the software manager: bundles for swupd, packages for others.
    pub fn wanted(&self) -> &[String] {
        if self.manager == SoftwareManager::Swupd { &self.bundles } else { &self.packages }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SwupdContent {
    /// `-V URL`, on which the newest version is looked up; `None` for the URL of the content.
    pub version_url: Option<String>,
    /// `-f NUMBER`, or "staging"; `None` for the format of the host, or that of the version.
    pub format: Option<String>,
    /// `--skip-optional`.
    pub skip_optional: bool,
    /// `--no-sigcheck`: signatures are not verified.
    pub unsigned: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct System {
    /// Host name; null for the host name of the content.
    pub hostname: Option<String>,
    pub users: Vec<UserPlan>,
    /// Files to write, by path.
    pub files: BTreeMap<String, String>,
    /// Targets of symbolic links to create, by path.
    pub links: BTreeMap<String, String>,
    /// Files to add to the initramfs, by path.
    pub initramfs: BTreeMap<String, String>,
    /// `dns` of Static_IP, for systems without systemd-resolved, which reads it from the network file.
    pub name_server: Option<String>,
    /// MirrorURL, for apt and dnf: the URL from which the installed system gets packages.
    pub mirror: Option<String>,
    /// IsterCloudInitSvc: the service that assigns the machine's role, queried during the build.
    pub cloud_init_service: Option<String>,
    /// `--carry`: the settings of an installer image.
    pub installer: Option<Installer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Installer {
    /// File names of the templates whose content is embedded.
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
    /// Lines for authorized_keys.
    pub ssh_key: Option<String>,
}

/// The kind of password in the shadow entry. The hash is not part of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Password {
    Locked,
    Empty,
    Hash,
}

/// The hooks of the template, in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hooks {
    /// Shell commands that run on the host before anything is written.
    pub pre_install_shell: Vec<String>,
    /// Programs that run on the host with the root directory of the target as argument.
    pub post_non_chroot: Vec<String>,
    /// Shell commands that run on the host with the root directory of the target in $ISTER_CHROOT.
    pub post_non_chroot_shell: Vec<String>,
    /// Programs that run in a chroot of the target.
    pub post_chroot: Vec<String>,
    /// Shell commands that run in a chroot of the target.
    pub post_chroot_shell: Vec<String>,
}

impl Hooks {
    /// Whether a hook can change the tree.
    pub fn has_post_hooks(&self) -> bool {
        let sections =
            [&self.post_non_chroot, &self.post_non_chroot_shell, &self.post_chroot, &self.post_chroot_shell];
        sections.into_iter().any(|section| !section.is_empty())
    }
}

/// The sources of the secrets of a template.
#[derive(Clone, Default)]
pub struct Secrets {
    pub passwords: BTreeMap<String, SecretSource>,
    /// By the name of the encrypted volume.
    pub passphrases: BTreeMap<String, SecretSource>,
    /// HTTPProxy and HTTPSProxy, whose URLs may contain a password.
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    /// IsterCloudInitSvc with its password, which the plan does not contain.
    pub cloud_init_service: Option<String>,
}

impl Secrets {
    /// Makes relative paths start at a directory.
    pub fn start_at(&mut self, directory: &Path) {
        for source in self.passwords.values_mut().chain(self.passphrases.values_mut()) {
            if let SecretSource::File(path) = source {
                *path = directory.join(&path).to_string_lossy().into_owned();
            }
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// The proxies as the common environment variables.
    pub fn proxy_variables(&self) -> Vec<(String, String)> {
        let named = [("http_proxy", &self.http_proxy), ("https_proxy", &self.https_proxy)];
        named.into_iter().filter_map(|(name, url)| Some((name.to_owned(), url.clone()?))).collect()
    }

    /// The proxies as lines of apt.conf(5).
    pub fn apt_proxies(&self) -> impl Iterator<Item = String> {
        let line = |scheme: &str, url: &Option<String>| {
            url.as_ref().map(|url| format!("Acquire::{scheme}::Proxy \"{url}\";"))
        };
        line("http", &self.http_proxy).into_iter().chain(line("https", &self.https_proxy))
    }
}

impl Plan {
    /// The file name of the image; `None` if the disks are devices.
    pub fn image(&self) -> Option<&str> {
        let disk = self.disks.first().filter(|_| self.destination == Destination::Virtual)?;
        Some(&disk.name)
    }

    /// All partitions of all disks.
    pub fn partitions(&self) -> impl Iterator<Item = (&Disk, &Partition)> {
        self.disks.iter().flat_map(|disk| disk.partitions.iter().map(move |partition| (disk, partition)))
    }

    pub fn partition(&self, place: &PartitionId) -> Option<(&Disk, &Partition)> {
        self.partitions().find(|(disk, p)| disk.name == place.disk && p.number == place.partition)
    }

    pub fn partition_at(&self, mount: &str) -> Option<(&Disk, &Partition)> {
        self.partitions().find(|(_, p)| p.mount.as_deref() == Some(mount))
    }
}

impl Disk {
    /// Whether the content of a partition is preserved: its filesystem is preserved, or the table is and no filesystem
    /// is created.
    pub fn stays(&self, partition: &Partition) -> bool {
        match &partition.filesystem {
            Some(filesystem) => filesystem.keep,
            None => self.keeps_table,
        }
    }

    /// The offset of the partition on the disk, in bytes.
    pub fn offset(&self, partition: &Partition) -> Bytes {
        Bytes(partition.first_lba.0 * self.sector_size.bytes())
    }
}
