//! Formats of disk images: what they are called, and what they say of a disk.

use crate::plan::layout::SectorSize;
use serde::Serialize;
use std::fmt;

/// How an image is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    Raw,
    Qcow2,
    Vhd,
    Vhdx,
    Vmdk,
    Vdi,
    /// Only read, never published.
    Qcow,
    Qed,
    Parallels,
}

impl ImageFormat {
    /// QEMU's name for it.
    pub fn qemu_name(self) -> &'static str {
        match self {
            ImageFormat::Raw => "raw",
            ImageFormat::Qcow2 => "qcow2",
            ImageFormat::Vhd => "vpc",
            ImageFormat::Vhdx => "vhdx",
            ImageFormat::Vmdk => "vmdk",
            ImageFormat::Vdi => "vdi",
            ImageFormat::Qcow => "qcow",
            ImageFormat::Qed => "qed",
            ImageFormat::Parallels => "parallels",
        }
    }
}

impl ImageFormat {
    /// Of the disk, where the format says so and not the machine. Sources: those of [`crate::template::limits`].
    pub fn sector_size(self) -> Option<SectorSize> {
        match self {
            ImageFormat::Vhd
            | ImageFormat::Vhdx
            | ImageFormat::Vmdk
            | ImageFormat::Vdi
            | ImageFormat::Parallels => Some(SectorSize::B512),
            ImageFormat::Raw | ImageFormat::Qcow2 | ImageFormat::Qcow | ImageFormat::Qed => None,
        }
    }

    /// What a file's name says that it is, before an ending of a compression. Nothing if the name says nothing: `.img` is
    /// used for any. Source: VMware Virtual Disk Format 5.0: extents of other descriptors are raw, and called `-flat.vmdk`.
    pub fn by_name(name: &str) -> Option<ImageFormat> {
        const PACKED: [&str; 4] = [".xz", ".gz", ".zst", ".bz2"];
        const ENDINGS: [(&str, ImageFormat); 6] = [
            ("vhd", ImageFormat::Vhd),
            ("vhdx", ImageFormat::Vhdx),
            ("qcow2", ImageFormat::Qcow2),
            ("vmdk", ImageFormat::Vmdk),
            ("vdi", ImageFormat::Vdi),
            ("raw", ImageFormat::Raw),
        ];
        let name = name.to_ascii_lowercase();
        let name = PACKED.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        let (stem, ending) = name.rsplit_once('.')?;
        if ending == "vmdk" && stem.ends_with("-flat") {
            return None;
        }
        ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, format)| *format)
    }

    /// Whether the name is another format's.
    pub fn is_misnamed(self, name: &str) -> bool {
        ImageFormat::by_name(name).is_some_and(|named| named != self)
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // QEMU calls it after the program that it comes from.
        f.pad(if *self == ImageFormat::Vhd { "vhd" } else { self.qemu_name() })
    }
}
