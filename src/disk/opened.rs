//! Detection of a partition's contents, and one reader for all supported filesystems.

use super::btrfs::Btrfs;
use super::ext::Ext;
use super::fat::Fat;
use super::packed::Packed;
use super::source::{ReadError, Source};
use super::tree::Tree;
use super::xfs::Xfs;
use std::fmt;
use std::io;
use std::ops::Range;

/// The type of contents that a partition's signature indicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    Ext,
    Vfat,
    Xfs,
    Btrfs,
    Swap,
    Luks,
    Packed(Packed),
    /// Recognized, but not supported by any reader here.
    Other(&'static str),
}

impl fmt::Display for VolumeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            VolumeKind::Ext => "ext",
            VolumeKind::Vfat => "vfat",
            VolumeKind::Xfs => "xfs",
            VolumeKind::Btrfs => "btrfs",
            VolumeKind::Swap => "swap",
            VolumeKind::Luks => "LUKS2",
            VolumeKind::Packed(Packed::Squashfs) => "squashfs",
            VolumeKind::Packed(Packed::Erofs) => "erofs",
            VolumeKind::Other(name) => name,
        })
    }
}

/// Signatures and their offsets. Source: each format's superblock, as in libblkid's probes; mkswap(8) for pages of 4096
/// bytes.
const SIGNATURES: &[(VolumeKind, u64, &[u8])] = &[
    (VolumeKind::Luks, 0, b"LUKS\xba\xbe"),
    (VolumeKind::Luks, 16_384, b"SKUL\xba\xbe"),
    (VolumeKind::Xfs, 0, b"XFSB"),
    (VolumeKind::Btrfs, 65_600, b"_BHRfS_M"),
    (VolumeKind::Swap, 4086, b"SWAPSPACE2"),
    (VolumeKind::Ext, 1080, &[0x53, 0xef]),
    (VolumeKind::Vfat, 54, b"FAT"),
    (VolumeKind::Vfat, 82, b"FAT"),
    (VolumeKind::Packed(Packed::Squashfs), 0, b"hsqs"),
    (VolumeKind::Packed(Packed::Erofs), 1024, b"\xe2\xe1\xf5\xe0"),
    (VolumeKind::Other("f2fs"), 1024, b"\x10\x20\xf5\xf2"),
    (VolumeKind::Other("ISO 9660"), 32_769, b"CD001"),
    (VolumeKind::Other("LVM physical volume"), 512, b"LABELONE"),
    (VolumeKind::Other("RAID member"), 4096, b"\xfc\x4e\x2b\xa9"),
    (VolumeKind::Other("dm-verity hash tree"), 0, b"verity\0\0"),
    (VolumeKind::Other("JFS"), 32_768, b"JFS1"),
    (VolumeKind::Other("ReiserFS"), 65_588, b"ReIsEr"),
    (VolumeKind::Other("NILFS2"), 1030, b"\x34\x34"),
    (VolumeKind::Other("bcachefs"), 4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
    (VolumeKind::Other("ZFS member"), 131_072, b"\x0c\xb1\xba\0\0\0\0\0"),
    (VolumeKind::Other("NTFS"), 3, b"NTFS    "),
    (VolumeKind::Other("exFAT"), 3, b"EXFAT   "),
];

/// `None` if there is no known signature.
pub fn detect(source: &dyn Source) -> Result<Option<VolumeKind>, ReadError> {
    for (kind, at, signature) in SIGNATURES {
        let mut bytes = [0; 10];
        let bytes = &mut bytes[..signature.len()];
        match source.read_at(bytes, *at) {
            Ok(()) if bytes == *signature => return Ok(Some(*kind)),
            Ok(()) => {}
            // The partition is too small for this signature.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(ReadError::Io { at: *at, error }),
        }
    }
    Ok(None)
}

/// A filesystem that can be read.
pub enum Opened<'a> {
    Ext(Ext<'a>),
    Fat(Fat<'a>),
    Xfs(Xfs<'a>),
    Btrfs(Btrfs<'a>),
}

impl<'a> Opened<'a> {
    pub fn open(source: &'a dyn Source) -> Result<Opened<'a>, ReadError> {
        Ok(match detect(source)? {
            Some(VolumeKind::Ext) => Opened::Ext(Ext::open(source)?),
            Some(VolumeKind::Vfat) => Opened::Fat(Fat::open(source)?),
            Some(VolumeKind::Xfs) => Opened::Xfs(Xfs::open(source)?),
            Some(VolumeKind::Btrfs) => Opened::Btrfs(Btrfs::open(source)?),
            Some(other) => return Err(ReadError::Unsupported(format!("{other} does not contain files"))),
            None => return Err(ReadError::Unsupported("no known filesystem found".to_owned())),
        })
    }

    /// The number of clusters of a FAT32 filesystem that is small enough for FAT16. Some implementations decide the
    /// width by the cluster count, others by the boot sector's fields.
    pub fn fat_mismatch(&self) -> Option<u32> {
        match self {
            Opened::Fat(fat) => fat.mismatch(),
            _ => None,
        }
    }

    /// The number of hidden sectors in a FAT boot sector: sectors before the filesystem on its disk. 0 if it is not
    /// set.
    pub fn hidden_sectors(&self) -> u32 {
        match self {
            Opened::Fat(fat) => fat.hidden_sectors(),
            _ => 0,
        }
    }

    /// The UUID as blkid prints it.
    pub fn uuid(&self) -> String {
        match self {
            Opened::Ext(ext) => ext.uuid().to_string(),
            Opened::Fat(fat) => fat.uuid(),
            Opened::Xfs(xfs) => xfs.uuid().to_string(),
            Opened::Btrfs(btrfs) => btrfs.uuid().to_string(),
        }
    }

    /// The label; `None` if it is not set.
    pub fn label(&self) -> Option<String> {
        let label = match self {
            Opened::Ext(ext) => ext.label(),
            Opened::Fat(fat) => fat.label(),
            Opened::Xfs(xfs) => xfs.label(),
            Opened::Btrfs(btrfs) => String::from_utf8_lossy(btrfs.label()).into_owned(),
        };
        Some(label).filter(|label| !label.is_empty())
    }

    /// Free capacity in bytes.
    pub fn free_bytes(&self) -> Result<u64, ReadError> {
        match self {
            Opened::Ext(ext) => Ok(ext.free_bytes()),
            Opened::Fat(fat) => Ok(fat.free_bytes()),
            Opened::Xfs(xfs) => Ok(xfs.free_bytes()),
            Opened::Btrfs(btrfs) => btrfs.free_bytes(),
        }
    }

    /// The contents of the filesystem. Fails also if a path is longer than `PATH_MAX`.
    pub fn tree(&self) -> Result<Tree, ReadError> {
        let tree = match self {
            Opened::Ext(ext) => ext.tree(),
            Opened::Fat(fat) => fat.tree(),
            Opened::Xfs(xfs) => xfs.tree(),
            Opened::Btrfs(btrfs) => btrfs.tree(),
        }?;
        tree.check_depth()?;
        Ok(tree)
    }

    /// The byte ranges that the filesystem uses, sorted and disjoint, whether or not they are zero.
    pub fn in_use(&self) -> Result<Vec<Range<u64>>, ReadError> {
        match self {
            Opened::Ext(ext) => ext.in_use(),
            Opened::Fat(fat) => fat.in_use(),
            Opened::Xfs(xfs) => xfs.in_use(),
            Opened::Btrfs(btrfs) => btrfs.in_use(),
        }
    }

    /// A human-readable description of what a byte belongs to.
    pub fn describe(&self, offset: u64) -> String {
        match self {
            Opened::Ext(ext) => ext.describe(offset),
            Opened::Fat(fat) => fat.describe(offset),
            Opened::Xfs(xfs) => xfs.describe(offset),
            Opened::Btrfs(btrfs) => btrfs.describe(offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl Source for Broken {
        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(rustix::io::Errno::IO.into())
        }

        fn size(&self) -> u64 {
            1 << 20
        }
    }

    #[test]
    fn unsupported_contents_are_recognized() {
        assert!(matches!(Opened::open(&Broken), Err(ReadError::Io { at: 0, .. })));
        let tiny = &[0; 100][..];
        assert!(matches!(Opened::open(&tiny), Err(ReadError::Unsupported(_))));
        assert_eq!(detect(&&b"XFSB"[..]).unwrap(), Some(VolumeKind::Xfs));
    }
}
