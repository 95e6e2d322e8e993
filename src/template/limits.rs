//! Size and label limits of formats and filesystems, for lint, the plan and the documentation.

use super::model::{FilesystemType, Format};
use super::units::Bytes;

/// The maximum size of a file, and therefore of a disk image, in bytes. Source: POSIX.1-2017, off_t of 64 bits.
pub const LARGEST_FILE: u64 = i64::MAX as u64;

#[derive(Clone, Copy, Debug)]
pub struct FormatLimits {
    pub format: Format,
    /// The maximum disk size. `None` if only the file size is limited, or if the format contains no disk.
    pub size: Option<Bytes>,
    /// Whether disks can have sectors of 4096 bytes.
    pub large_sectors: bool,
    pub source: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub struct FilesystemLimits {
    pub kind: FilesystemType,
    /// The sector or block size.
    pub unit: Bytes,
    /// The maximum number of sectors or blocks. `None` if only the file size is limited.
    pub units: Option<u64>,
    /// The maximum length of a label in bytes.
    pub label: usize,
    pub source: &'static str,
}

const fn of(format: Format, size: Option<Bytes>, large_sectors: bool, source: &'static str) -> FormatLimits {
    FormatLimits { format, size, large_sectors, source }
}

const GUEST_DECIDES: &str = "the format does not define a sector size";
const NO_DISK: &str = "the format does not contain a disk";
const TWO_TIB: Option<Bytes> = Some(Bytes(2 * Bytes::TIB));
const PIB: u64 = 1024 * Bytes::TIB;

pub const FORMATS: &[FormatLimits] = &[
    of(
        Format::Qcow2,
        Some(Bytes(2 * PIB)),
        true,
        "QEMU, block/qcow2.h: 32 MiB of first-level table, clusters of 64 KiB",
    ),
    of(Format::Qcow2Zstd, Some(Bytes(2 * PIB)), true, "the same"),
    of(
        Format::Vhd,
        Some(Bytes(2040 * Bytes::GIB)),
        false,
        "Virtual Hard Disk Image Format Specification 1.0; Hyper-V: 2040 GiB, sectors of 512 bytes",
    ),
    of(
        Format::Vhdx,
        Some(Bytes(64 * Bytes::TIB)),
        false,
        "[MS-VHDX] 2.6.2.1; qemu-img writes only logical sectors of 512 bytes",
    ),
    of(
        Format::Vmdk,
        TWO_TIB,
        false,
        "Virtual Disk Format 5.0: grain offsets are 32-bit numbers of 512-byte sectors",
    ),
    of(Format::Ova, TWO_TIB, false, "contains a vmdk"),
    of(
        Format::Vdi,
        Some(Bytes(PIB - Bytes::MIB)),
        false,
        "QEMU, block/vdi.c: 2^30 - 1 blocks of 1 MiB, sectors of 512 bytes",
    ),
    of(Format::TarGz, None, false, "Google Compute Engine: disks have logical sectors of 512 bytes"),
    of(Format::Tar, None, true, NO_DISK),
    of(Format::TarXz, None, true, NO_DISK),
    of(Format::Oci, None, true, NO_DISK),
    of(Format::Pxe, None, true, NO_DISK),
    of(Format::Iso, None, true, NO_DISK),
    of(Format::RawXz, None, true, GUEST_DECIDES),
    of(Format::RawZst, None, true, GUEST_DECIDES),
    of(Format::RawGz, None, true, GUEST_DECIDES),
];

const SECTOR: Bytes = Bytes(512);
const BLOCK: Bytes = Bytes(4096);

pub const FILESYSTEMS: &[FilesystemLimits] = &[
    FilesystemLimits {
        kind: FilesystemType::Ext2,
        unit: BLOCK,
        units: Some(u32::MAX as u64),
        label: 16,
        source: "ext4(5): block numbers of 32 bits",
    },
    FilesystemLimits {
        kind: FilesystemType::Ext3,
        unit: BLOCK,
        units: Some(u32::MAX as u64),
        label: 16,
        source: "the same",
    },
    FilesystemLimits {
        kind: FilesystemType::Ext4,
        unit: BLOCK,
        units: Some(1 << 48),
        label: 16,
        source: "ext4(5): block numbers of 48 bits",
    },
    FilesystemLimits {
        kind: FilesystemType::Vfat,
        unit: SECTOR,
        units: Some(u32::MAX as u64),
        label: 11,
        source: "fatgen103, BPB_TotSec32",
    },
    FilesystemLimits {
        kind: FilesystemType::Xfs,
        unit: BLOCK,
        units: None,
        label: 12,
        source: "mkfs.xfs(8)",
    },
    FilesystemLimits {
        kind: FilesystemType::Btrfs,
        unit: BLOCK,
        units: None,
        label: 255,
        source: "mkfs.btrfs(8)",
    },
    // The label field has 16 bytes, but mkswap terminates it with a zero byte.
    FilesystemLimits {
        kind: FilesystemType::Swap,
        unit: BLOCK,
        units: Some(u32::MAX as u64),
        label: 15,
        source: "Linux, include/linux/swap.h, union swap_header; mkswap(8)",
    },
];

pub fn of_format(format: Format) -> &'static FormatLimits {
    FORMATS.iter().find(|limits| limits.format == format).expect("the table contains every format")
}

pub fn of_filesystem(kind: FilesystemType) -> &'static FilesystemLimits {
    FILESYSTEMS.iter().find(|limits| limits.kind == kind).expect("the table contains every filesystem")
}

impl FormatLimits {
    /// Why a disk of this size and sector size cannot be published in this format.
    pub fn refuse(&self, size: Bytes, sector: u64) -> Option<String> {
        let format = self.format;
        match self.size {
            Some(most) if size > most => Some(format!(
                "{format} supports disks of up to {}, but this disk has {}",
                most.exact(),
                size.exact()
            )),
            _ if sector > SECTOR.0 && !self.large_sectors => {
                Some(format!("{format} supports only sectors of 512 bytes, but this disk has {sector}"))
            }
            _ => None,
        }
    }
}

impl FilesystemLimits {
    /// The maximum size with the block or sector size in `options`, if any.
    pub fn size(&self, options: &str) -> Option<Bytes> {
        let option = if self.kind == FilesystemType::Vfat { "-S" } else { "-b" };
        let words: Vec<&str> = options.split_whitespace().collect();
        let unit = words.iter().zip(words.iter().skip(1).chain([&""])).find_map(|(word, next)| {
            let value = word.strip_prefix(option)?;
            if value.is_empty() { next.parse().ok() } else { value.parse().ok() }
        });
        Some(Bytes(self.units?.saturating_mul(unit.unwrap_or(self.unit.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Names;

    #[test]
    fn tables_are_complete() {
        for (_, format) in Format::ALL {
            assert_eq!(of_format(*format).format, *format);
        }
        for (_, kind) in FilesystemType::ALL {
            assert_eq!(of_filesystem(*kind).kind, *kind);
        }
    }

    #[test]
    fn sizes_and_sectors_are_checked() {
        let refuse = |format, size: u64, sector| of_format(format).refuse(Bytes(size), sector);
        assert_eq!(refuse(Format::Vhd, 2040 * Bytes::GIB, 512), None);
        assert_eq!(
            refuse(Format::Vhd, 2041 * Bytes::GIB, 512).as_deref(),
            Some("vhd supports disks of up to 2040 GiB, but this disk has 2041 GiB")
        );
        for format in [Format::Vhd, Format::Vhdx, Format::Vmdk, Format::Ova, Format::Vdi, Format::TarGz] {
            assert!(refuse(format, Bytes::GIB, 4096).is_some(), "{format}");
        }
        for format in [Format::Qcow2, Format::RawXz, Format::Oci] {
            assert_eq!(refuse(format, Bytes::GIB, 4096), None, "{format}");
        }
        let size = |kind, options| of_filesystem(kind).size(options).map(|size| size.0);
        assert_eq!(size(FilesystemType::Vfat, ""), Some((2 * Bytes::TIB) - 512));
        assert_eq!(size(FilesystemType::Vfat, "-F 32 -S 4096"), Some((16 * Bytes::TIB) - 4096));
        assert_eq!(size(FilesystemType::Ext2, "-b1024"), Some((4 * Bytes::TIB) - 1024));
        assert_eq!(size(FilesystemType::Xfs, ""), None);
    }
}
