//! What an empty filesystem has room for: one question, answered by each format's own arithmetic.

use super::{btrfs, ext, fat, xfs};
use crate::template::{Bytes, FilesystemType};

/// A filesystem that is not there yet.
pub struct RoomRequest<'a> {
    pub kind: FilesystemType,
    /// Of the device it will be on.
    pub size: Bytes,
    /// The template's `options` for its mkfs.
    pub options: &'a str,
    /// The device's logical sector, in bytes.
    pub sector: u64,
}

/// Numbers of bytes, unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// For files and folders.
    pub bytes: Bytes,
    /// For so many of them, where that is fixed.
    pub inodes: Option<u64>,
    /// A file takes whole multiples of this.
    pub unit: u64,
    /// What every file or folder takes besides, where inodes are not set aside beforehand.
    pub per_node: u64,
}

/// Nothing where it cannot be told: a size that the format does not take, or options that are too odd.
pub fn room(request: &RoomRequest) -> Option<Room> {
    match request.kind {
        FilesystemType::Ext2 => ext_room(request, ext::Kind::Ext2),
        FilesystemType::Ext3 => ext_room(request, ext::Kind::Ext3),
        FilesystemType::Ext4 => ext_room(request, ext::Kind::Ext4),
        FilesystemType::Vfat => vfat_room(request),
        FilesystemType::Xfs => xfs_room(request),
        FilesystemType::Btrfs => btrfs_room(request),
        FilesystemType::Swap => None,
    }
}

/// The least that mkfs takes, where it asks for more than a few blocks.
pub fn least_size(kind: FilesystemType, options: &str) -> Option<Bytes> {
    match kind {
        FilesystemType::Xfs => Some(Bytes(XFS_LEAST)),
        FilesystemType::Btrfs => {
            // Mixed block groups ask for far less.
            let mixed = settings(options).iter().any(|(option, _)| *option == "-M");
            let profiles = btrfs_profiles(options).unwrap_or_default();
            (!mixed).then(|| Bytes(btrfs::minimum_size(profiles)))
        }
        _ => None,
    }
}

/// Source: mkfs.xfs(8), 5.19 and later.
const XFS_LEAST: u64 = 300 << 20;

fn ext_room(request: &RoomRequest, kind: ext::Kind) -> Option<Room> {
    /// Inodes that are taken from the beginning: the reserved ones and lost+found.
    const TAKEN: u64 = 11;
    let blocks =
        request.sector == 4096 && !settings(request.options).iter().any(|(option, _)| *option == "-b");
    let options = format!("{}{}", request.options, if blocks { " -b 4096" } else { "" });
    let made = ext::Request { kind, size: request.size.0, options: &options }.forecast()?;
    Some(Room {
        bytes: Bytes(made.free_blocks.saturating_mul(made.block_size)),
        inodes: Some(made.inodes.saturating_sub(TAKEN)),
        unit: made.block_size,
        per_node: 0,
    })
}

fn vfat_room(request: &RoomRequest) -> Option<Room> {
    let sector = if request.sector == 4096 { " -S 4096" } else { "" };
    let options = format!("{}{sector}", request.options);
    let made = fat::Request { size: request.size.0, options: &options }.forecast()?;
    Some(Room {
        bytes: Bytes(made.free_clusters.saturating_mul(made.cluster_size)),
        inodes: None,
        unit: made.cluster_size,
        per_node: 0,
    })
}

/// What the plan tells mkfs.xfs, unless the template's options say otherwise.
fn xfs_room(request: &RoomRequest) -> Option<Room> {
    if request.size.0 < XFS_LEAST {
        return None;
    }
    let mut shape = xfs::Shape {
        size: request.size.0,
        block_size: 4096,
        sector_size: u32::try_from(request.sector).ok()?,
        inode_size: 512,
        log_blocks: (64 << 20) / 4096,
        groups: 4,
        finobt: true,
        reflink: true,
    };
    for (option, value) in settings(request.options) {
        match (option, value) {
            ("-m", "finobt=0") => shape.finobt = false,
            ("-m", "reflink=0") => shape.reflink = false,
            ("-m", _) | ("-n", _) | ("-K", _) | ("-q", _) => {}
            ("-i", setting) => match setting.strip_prefix("size=") {
                Some(bytes) => shape.inode_size = bytes.parse().ok()?,
                None if setting.starts_with("maxpct=") || setting.starts_with("sparse=") => {}
                None => return None,
            },
            ("-d", setting) => shape.groups = setting.strip_prefix("agcount=")?.parse().ok()?,
            _ => return None,
        }
    }
    let inode_size = u64::from(shape.inode_size);
    Some(Room { bytes: Bytes(xfs::capacity(&shape)), inodes: None, unit: 4096, per_node: inode_size })
}

/// Nothing where the options are odd.
fn btrfs_profiles(options: &str) -> Option<btrfs::Profiles> {
    let mut profiles = btrfs::Profiles::default();
    for (option, value) in settings(options) {
        match (option, value) {
            ("-m", "single") => profiles.metadata_copies = 1,
            ("-m", "dup" | "DUP") => profiles.metadata_copies = 2,
            ("-d", "single") => profiles.data_copies = 1,
            ("-d", "dup" | "DUP") => profiles.data_copies = 2,
            ("-n", "4096") => profiles.node_size = 4096,
            ("-n", "16384" | "16k") | ("-s", "4096" | "4k") | ("-O" | "-R" | "-K" | "-q", _) => {}
            _ => return None,
        }
    }
    Some(profiles)
}

fn btrfs_room(request: &RoomRequest) -> Option<Room> {
    let profiles = btrfs_profiles(request.options)?;
    if request.size.0 < btrfs::minimum_size(profiles) {
        return None;
    }
    Some(Room {
        bytes: Bytes(btrfs::capacity(request.size.0, profiles)),
        inodes: None,
        unit: 4096,
        // As its forecast asks for.
        per_node: 1024,
    })
}

/// Option and setting, a row for each: `-m a,b` gives two. Flags have an empty one.
fn settings(options: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut words = options.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let Some((option, glued)) = word.split_at_checked(2).filter(|(option, _)| option.starts_with('-'))
        else {
            found.push((word, ""));
            continue;
        };
        let value = match glued {
            "" => words.next_if(|next| !next.starts_with('-')).unwrap_or_default(),
            glued => glued,
        };
        found.extend(value.split(',').map(|setting| (option, setting)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: FilesystemType, mebibytes: u64, options: &str) -> Option<Room> {
        room(&RoomRequest { kind, size: Bytes::mib(mebibytes), options, sector: 512 })
    }

    #[test]
    fn settings_are_taken_apart() {
        assert_eq!(
            settings("-m a=1,b=2 -K -isize=512"),
            [("-m", "a=1"), ("-m", "b=2"), ("-K", ""), ("-i", "size=512")]
        );
    }

    #[test]
    fn larger_is_never_less() {
        for kind in [FilesystemType::Ext4, FilesystemType::Vfat, FilesystemType::Xfs, FilesystemType::Btrfs] {
            let small = asked(kind, 600, "").unwrap();
            let large = asked(kind, 1200, "").unwrap();
            assert!(small.bytes < large.bytes && large.bytes < Bytes::mib(1200), "{kind}");
        }
    }

    #[test]
    fn what_is_too_small_or_too_odd_is_not_told() {
        assert_eq!(asked(FilesystemType::Xfs, 200, ""), None);
        assert_eq!(asked(FilesystemType::Xfs, 400, "-l size=128m"), None);
        assert_eq!(asked(FilesystemType::Btrfs, 64, ""), None);
        assert_eq!(asked(FilesystemType::Swap, 64, ""), None);
    }
}
