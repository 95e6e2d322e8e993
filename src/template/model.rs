//! The typed template. All fields are optional and have spans. `lint` reports missing and invalid values, so that a
//! partly invalid template still gets all findings for its valid parts.
//!
//! The keys and their meaning are those of ister.py; README.md lists the additions.

use super::text::Span;
use super::units::{Size, SizeError};
use std::fmt;
use std::ops::Deref;

/// A value and its place in the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// One of a fixed set of names, or an unknown text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<T> {
    Known(T),
    Unknown(String),
}

impl<T: Copy> Named<T> {
    pub fn known(&self) -> Option<T> {
        match self {
            Named::Known(value) => Some(*value),
            Named::Unknown(_) => None,
        }
    }
}

/// A closed set of names that a template may use.
pub trait Names: Copy + Sized + 'static {
    const ALL: &'static [(&'static str, Self)];

    fn named(text: &str) -> Named<Self> {
        Self::ALL
            .iter()
            .find(|(name, _)| *name == text)
            .map_or_else(|| Named::Unknown(text.to_owned()), |&(_, value)| Named::Known(value))
    }
}

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        pub enum $type {
            $(#[serde(rename = $name)] $variant,)*
        }

        impl Names for $type {
            const ALL: &'static [(&'static str, Self)] = &[$(($name, $type::$variant)),*];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($type::$variant => $name),* })
            }
        }
    };
}

names!(
    /// Where the partitions go: an image file, or a block device.
    Destination { Virtual = "virtual", Physical = "physical" }
);
names!(
    /// `type` of a partition.
    PartitionType { Efi = "EFI", Linux = "linux", Swap = "swap" }
);
names!(
    /// `type` of a filesystem.
    FilesystemType {
        Ext2 = "ext2", Ext3 = "ext3", Ext4 = "ext4", Vfat = "vfat", Btrfs = "btrfs", Xfs = "xfs", Swap = "swap",
    }
);
names!(
    /// The package manager that installs the content.
    SoftwareManager { Swupd = "swupd", Dnf = "dnf", Apt = "apt" }
);
names!(
    /// A format to publish in addition to the raw image.
    Format {
        Qcow2 = "qcow2", Qcow2Zstd = "qcow2-zstd", Vhd = "vhd", Vhdx = "vhdx", Vmdk = "vmdk", Ova = "ova", Vdi = "vdi", TarGz = "tar.gz", Tar = "tar",
        TarXz = "tar.xz", Oci = "oci", Pxe = "pxe", Iso = "iso", RawXz = "raw.xz", RawZst = "raw.zst", RawGz = "raw.gz",
    }
);

/// `Version`: a number, or a name ("latest", a Debian suite).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    Number(i128),
    Name(String),
}

/// Whether a text looks like a crypt(5) hash: `$id$…`, DES (13 characters), BSDi (20 characters), or locked (`!` or
/// `*`).
pub fn is_crypt_hash(text: &str) -> bool {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_graphic() && c != ':');
    let modern = text.strip_prefix('$').and_then(|rest| rest.split_once('$'));
    let modern = modern.is_some_and(|(id, rest)| !id.is_empty() && !rest.is_empty());
    let base64 = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "./".contains(c));
    let des = text.len() == 13 && base64(text);
    let bsdi = text.len() == 20 && text.strip_prefix('_').is_some_and(base64);
    plain(text) && (modern || des || bsdi || text.starts_with(['!', '*']))
}

/// The source of a secret. Debug output does not contain the secret.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    Inline(String),
    File(String),
    Env(String),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Inline(_) => f.write_str("Inline(…)"),
            SecretSource::File(path) => f.debug_tuple("File").field(path).finish(),
            SecretSource::Env(name) => f.debug_tuple("Env").field(name).finish(),
        }
    }
}

/// A section of the template: its place, and its entries in the order of the text.
pub type Section<T> = Option<Spanned<Vec<T>>>;

#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The whole object; empty if the template is not an object.
    pub span: Span,
    pub destination: Option<Spanned<Named<Destination>>>,
    pub layout: Section<LayoutEntry>,
    pub filesystems: Section<FilesystemEntry>,
    pub mounts: Section<MountEntry>,
    pub version: Option<Spanned<Version>>,
    pub bundles: Section<Spanned<String>>,
    pub software_manager: Option<Spanned<Named<SoftwareManager>>>,
    pub users: Section<User>,
    pub hostname: Option<Spanned<String>>,
    pub static_ip: Option<StaticIp>,
    pub legacy_bios: Option<Spanned<bool>>,
    pub cmdline: Option<Spanned<String>>,
    pub https_proxy: Option<Spanned<String>>,
    pub http_proxy: Option<Spanned<String>>,
    pub mirror_url: Option<Spanned<String>>,
    pub version_url: Option<Spanned<String>>,
    pub pre_install_shell: Section<Spanned<String>>,
    pub post_non_chroot: Section<Spanned<String>>,
    pub post_non_chroot_shell: Section<Spanned<String>>,
    pub post_chroot: Section<Spanned<String>>,
    pub post_chroot_shell: Section<Spanned<String>>,
    pub cloud_init_service: Option<Spanned<String>>,
    pub disabled_new_partitions: Option<Spanned<bool>>,
    pub disk_size: Option<Spanned<Result<Size, SizeError>>>,
    pub formats: Section<Spanned<Named<Format>>>,
    pub allowances: Vec<Allowance>,
    /// All keys, including those with invalid values.
    pub present: Vec<Spanned<String>>,
}

/// The disk and partition that an entry refers to.
#[derive(Clone, Debug)]
pub struct PartitionRef {
    /// The whole object of the entry.
    pub span: Span,
    pub disk: Option<Spanned<String>>,
    pub partition: Option<Spanned<u32>>,
    /// All keys of the entry, including those with invalid values.
    pub present: Vec<Spanned<String>>,
}

impl PartitionRef {
    /// Disk and partition number, if the entry has both.
    pub fn key(&self) -> Option<(&str, u32)> {
        Some((self.disk.as_ref()?.as_str(), self.partition.as_ref()?.value))
    }

    /// The span of the partition number, or of the whole entry if it has none.
    pub fn partition_span(&self) -> Span {
        self.partition.as_ref().map_or(self.span, |p| p.span)
    }
}

#[derive(Clone, Debug)]
pub struct LayoutEntry {
    pub place: PartitionRef,
    pub size: Option<Spanned<Result<Size, SizeError>>>,
    pub kind: Option<Spanned<Named<PartitionType>>>,
}

#[derive(Clone, Debug)]
pub struct FilesystemEntry {
    pub place: PartitionRef,
    pub kind: Option<Spanned<Named<FilesystemType>>>,
    pub label: Option<Spanned<String>>,
    pub options: Option<Spanned<String>>,
    /// If present, the existing filesystem is preserved.
    pub disable_format: Option<Span>,
    pub encryption: Option<Encryption>,
}

#[derive(Clone, Debug)]
pub struct Encryption {
    pub span: Span,
    pub name: Option<Spanned<String>>,
    pub passphrase: Option<Spanned<SecretSource>>,
}

#[derive(Clone, Debug)]
pub struct MountEntry {
    pub place: PartitionRef,
    pub mount: Option<Spanned<String>>,
    pub force_unit: Option<Spanned<bool>>,
    /// The mapping to mount; its passphrase is in FilesystemTypes.
    pub encryption: Option<Encryption>,
}

#[derive(Clone, Debug)]
pub struct User {
    pub span: Span,
    pub username: Option<Spanned<String>>,
    pub key: Option<Spanned<String>>,
    pub uid: Option<Spanned<i128>>,
    pub sudo: Option<Spanned<bool>>,
    /// A crypt(3) hash. If empty, no password is required; if missing, the account is locked.
    pub password: Option<Spanned<SecretSource>>,
    pub fullname: Option<Spanned<String>>,
    pub present: Vec<Spanned<String>>,
}

/// A rule that is suppressed by `"$lint": {"allow": …}`.
#[derive(Clone, Debug)]
pub struct Allowance {
    pub rule: Spanned<String>,
    pub reason: Option<Spanned<String>>,
}

#[derive(Clone, Debug)]
pub struct StaticIp {
    pub span: Span,
    pub iface: Option<Spanned<String>>,
    pub address: Option<Spanned<String>>,
    pub gateway: Option<Spanned<String>>,
    pub dns: Option<Spanned<String>>,
    /// An additional IPv6 address and its gateway; not in ister.py.
    pub address6: Option<Spanned<String>>,
    pub gateway6: Option<Spanned<String>>,
}

impl Template {
    pub fn layout(&self) -> &[LayoutEntry] {
        entries(&self.layout)
    }

    pub fn filesystems(&self) -> &[FilesystemEntry] {
        entries(&self.filesystems)
    }

    pub fn mounts(&self) -> &[MountEntry] {
        entries(&self.mounts)
    }

    pub fn users(&self) -> &[User] {
        entries(&self.users)
    }

    pub fn bundles(&self) -> &[Spanned<String>] {
        entries(&self.bundles)
    }

    /// Whether `Formats` contains a format.
    pub fn publishes(&self, format: Format) -> bool {
        entries(&self.formats).iter().any(|entry| entry.value == Named::Known(format))
    }

    /// The package manager, swupd by default; `None` if it is unknown.
    pub fn manager(&self) -> Option<SoftwareManager> {
        match &self.software_manager {
            None => Some(SoftwareManager::Swupd),
            Some(name) => name.known(),
        }
    }

    pub fn is_virtual(&self) -> bool {
        self.destination.as_ref().and_then(|d| d.known()) == Some(Destination::Virtual)
    }

    pub fn is_physical(&self) -> bool {
        self.destination.as_ref().and_then(|d| d.known()) == Some(Destination::Physical)
    }

    /// The places of all entries of the partition sections, starting with the layout.
    pub fn places(&self) -> impl Iterator<Item = &PartitionRef> {
        let layout = self.layout().iter().map(|e| &e.place);
        let filesystems = self.filesystems().iter().map(|e| &e.place);
        let mounts = self.mounts().iter().map(|e| &e.place);
        layout.chain(filesystems).chain(mounts)
    }

    pub fn has_esp(&self) -> bool {
        self.layout().iter().any(|e| e.kind.as_ref().and_then(|k| k.known()) == Some(PartitionType::Efi))
    }

    /// Whether the types of all partitions are known. Otherwise, a type that seems to be missing may be present.
    pub fn types_are_known(&self) -> bool {
        self.layout().iter().all(|e| e.kind.as_ref().and_then(|k| k.known()).is_some())
    }

    pub fn uses_bios(&self) -> bool {
        self.legacy_bios.as_ref().is_some_and(|b| b.value)
    }

    /// The span of a top-level key, if it is present.
    pub fn key_span(&self, key: &str) -> Option<Span> {
        self.present.iter().find(|k| k.value == key).map(|k| k.span)
    }
}

/// The entries of a section; empty if the section is missing.
pub fn entries<T>(section: &Section<T>) -> &[T] {
    section.as_ref().map_or(&[], |s| s.value.as_slice())
}
