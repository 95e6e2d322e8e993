//! Formats of disk images: names and properties.

use crate::plan::layout::SectorSize;
use serde::Serialize;
use std::fmt;

/// The format of a disk image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    Raw,
    Qcow2,
    Vhd,
    Vhdx,
    Vmdk,
    Vdi,
    /// This and the following formats are only read, never published.
    Qcow,
    Qed,
    Parallels,
}

impl ImageFormat {
    /// Returns QEMU's name of the format.
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
    /// Returns the sector size of the disk if the format determines it and not the machine. Sources: those of
    /// [`crate::template::limits`].
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

    /// Returns the format of a file name, ignoring the extension of a compression. `None` for ambiguous names, such
    /// as `.img`. Source: VMware Virtual Disk Format 5.0: extents of other descriptors are raw and named
    /// `-flat.vmdk`.
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

    /// Returns whether the file name has the extension of another format.
    pub fn is_misnamed(self, name: &str) -> bool {
        ImageFormat::by_name(name).is_some_and(|named| named != self)
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // QEMU's name `vpc` (Virtual PC) is uncommon elsewhere.
        f.pad(if *self == ImageFormat::Vhd { "vhd" } else { self.qemu_name() })
    }
}
