//! The boot loader of an image, and the mount point of its ESP.

use super::model::{FilesystemType, MountEntry, SoftwareManager, Template, Version};
use super::units::{Bytes, Size};
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// How a template with an ESP "mounted at /boot" is implemented: the boot loader, and a mount point that allows the
/// package manager to replace kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootMethod {
    pub loader: Loader,
    /// Mount point of the ESP; `None` for BIOS boot.
    pub esp: Option<&'static str>,
}

/// dpkg creates hard links next to files that it replaces, so /boot cannot be FAT on Debian. The ESP is mounted
/// separately, and kernel-install copies kernels to it. Source: kernel-install(8), bootctl(1).
pub const ESP_OF_KERNEL_INSTALL: &str = "/efi";
/// Where Debian's grub-install expects the ESP, which contains no kernels.
pub const ESP_OF_GRUB: &str = "/boot/efi";
/// For content whose own tools store kernels on the ESP: clr-boot-manager, kernel-install of rpm distributions.
pub const ESP_AS_BOOT: &str = "/boot";

/// The minimum size of an ESP for the three kernels that apt may keep, with their initramfs: 24 MB each with
/// bookworm, 26 MB with trixie.
const KERNELS_SIZE: Bytes = Bytes::mib(128);

/// Releases without the package systemd-boot, whose hooks call kernel-install. They have its programs in the systemd
/// package. Tested with bullseye; the others are older or, for Ubuntu, from before the package was split.
const WITHOUT_SYSTEMD_BOOT: &[&str] = &["buster", "bullseye", "bionic", "focal", "jammy"];

/// The boot method of a template; `None` if no firmware can boot it.
pub fn boot_method(template: &Template) -> Option<BootMethod> {
    let mounted =
        |path: &str| template.mounts().iter().find(|m| m.mount.as_ref().is_some_and(|at| at.value == path));
    let root = mounted("/")?;
    if template.uses_bios() {
        return Some(BootMethod { loader: Loader::Grub, esp: None });
    }
    let esp = mounted(ESP_AS_BOOT)?;
    let method = |loader, esp| Some(BootMethod { loader, esp: Some(esp) });
    if template.manager() != Some(SoftwareManager::Apt) {
        return method(Loader::SystemdBoot, ESP_AS_BOOT);
    }
    let kernel_install = !is_without_systemd_boot(template);
    if kernel_install && size(template, esp).is_none_or(|size| size >= KERNELS_SIZE) {
        return method(Loader::SystemdBoot, ESP_OF_KERNEL_INSTALL);
    }
    match (grub_reads(template, root), kernel_install) {
        (true, _) => method(Loader::Grub, ESP_OF_GRUB),
        (false, true) => method(Loader::SystemdBoot, ESP_OF_KERNEL_INSTALL),
        // In this case, package updates do not replace the kernels.
        (false, false) => method(Loader::SystemdBoot, ESP_AS_BOOT),
    }
}

fn is_without_systemd_boot(template: &Template) -> bool {
    let Some(Version::Name(name)) = template.version.as_ref().map(|v| &v.value) else { return false };
    WITHOUT_SYSTEMD_BOOT.contains(&name.as_str())
}

/// The size of the partition; `None` if it is "rest" or the existing size.
fn size(template: &Template, mount: &MountEntry) -> Option<Bytes> {
    let entry = template.layout().iter().find(|entry| entry.place.key() == mount.place.key())?;
    match entry.size.as_ref()?.value {
        Ok(Size::Exact(size)) => Some(size),
        _ => None,
    }
}

/// Whether GRUB can read a kernel from the root filesystem.
fn grub_reads(template: &Template, root: &MountEntry) -> bool {
    let filesystem = template.filesystems().iter().find(|f| f.place.key() == root.place.key());
    let Some(filesystem) = filesystem else { return false };
    let options = filesystem.options.as_ref().map_or("", |options| options.value.as_str());
    let kind = filesystem.kind.as_ref().and_then(|kind| kind.known());
    let known = !matches!(kind, None | Some(FilesystemType::Vfat | FilesystemType::Swap));
    known && filesystem.encryption.is_none() && features_unreadable_by_grub(kind, options).next().is_none()
}

/// Incompatible features of ext4 that GRUB 2.06 does not support. Source: its grub-core/fs/ext2.c,
/// EXT2_DRIVER_SUPPORTED_INCOMPAT and EXT2_DRIVER_IGNORED_INCOMPAT.
const UNREADABLE: &[&str] = &[
    "inline_data",
    "ea_inode",
    "large_dir",
    "casefold",
    "metadata_csum_seed",
    "dirdata",
    "journal_dev",
    "compression",
];

/// Features in mkfs options that GRUB does not support.
pub fn features_unreadable_by_grub(
    kind: Option<FilesystemType>,
    options: &str,
) -> impl Iterator<Item = &str> {
    let ext = matches!(kind, Some(FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4));
    let mut words = options.split_whitespace();
    std::iter::from_fn(move || {
        loop {
            let word = words.next().filter(|_| ext)?;
            if let Some(extended) = word.strip_prefix("-E") {
                let extended = if extended.is_empty() { words.next().unwrap_or_default() } else { extended };
                // mke2fs turns the feature on. Source: mke2fs(8), `encoding=`.
                if extended.split(',').any(|option| option.starts_with("encoding")) {
                    return Some("casefold");
                }
                continue;
            }
            let Some(glued) = word.strip_prefix("-O") else { continue };
            return Some(if glued.is_empty() { words.next().unwrap_or_default() } else { glued });
        }
    })
    .flat_map(|list| list.split(','))
    .filter(|feature| UNREADABLE.contains(feature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_turns_on_a_feature() {
        let features =
            |options| features_unreadable_by_grub(Some(FilesystemType::Ext4), options).collect::<Vec<_>>();
        assert_eq!(features("-E encoding=utf8"), ["casefold"]);
        assert_eq!(features("-Enodiscard,encoding=utf8 -O casefold,extents"), ["casefold", "casefold"]);
        assert_eq!(features("-E nodiscard -L encoding"), [""; 0]);
    }
}
