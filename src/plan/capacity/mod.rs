//! Computes the capacity of an empty filesystem before it is created.

pub mod btrfs;
pub mod ext;
mod ext_journal;
mod ext_options;
pub mod fat;
pub mod xfs;

use crate::template::{Bytes, FilesystemType};
use std::ops::RangeInclusive;

/// The parameters of a filesystem that is not created yet.
pub struct CapacityRequest<'a> {
    pub kind: FilesystemType,
    /// The size of its device.
    pub size: Bytes,
    /// `options` of the template for mkfs.
    pub options: &'a str,
    /// The logical sector size of the device, in bytes.
    pub sector: u64,
}

/// The capacity of a filesystem. Numbers are bytes unless noted otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// The capacity for files and directories.
    pub bytes: Bytes,
    /// The maximum number of files and directories, if it is fixed.
    pub inodes: Option<u64>,
    /// The space of a file is rounded up to a multiple of this.
    pub unit: u64,
    /// Additional space for each file or directory, if inodes are allocated dynamically.
    pub per_node: u64,
}

/// `None` if the capacity cannot be computed: the size is not supported, or the options are unknown.
pub fn capacity(request: &CapacityRequest) -> Option<Capacity> {
    match request.kind {
        FilesystemType::Ext2 => ext_capacity(request, ext::ExtKind::Ext2),
        FilesystemType::Ext3 => ext_capacity(request, ext::ExtKind::Ext3),
        FilesystemType::Ext4 => ext_capacity(request, ext::ExtKind::Ext4),
        FilesystemType::Vfat => vfat_capacity(request),
        FilesystemType::Xfs => xfs_capacity(request),
        FilesystemType::Btrfs => btrfs_capacity(request),
        FilesystemType::Swap => None,
    }
}

/// The minimum size that mkfs accepts, if it is more than a few blocks.
pub fn minimum_size(kind: FilesystemType, options: &str) -> Option<Bytes> {
    match kind {
        FilesystemType::Xfs => Some(Bytes(XFS_LEAST)),
        FilesystemType::Btrfs => {
            let odd = (!is_mixed(options)).then(btrfs::Profiles::default);
            btrfs_profiles(options).or(odd).map(|profiles| Bytes(btrfs::minimum_size(profiles)))
        }
        _ => None,
    }
}

/// Whether the mkfs.btrfs options request mixed block groups for data and metadata.
pub fn is_mixed(options: &str) -> bool {
    settings(options).iter().any(|setting| MIXED.contains(setting))
}

/// Source: mkfs.btrfs(8).
const MIXED: &[(&str, &str)] = &[("-M", ""), ("--", "mixed"), ("-O", "mixed-bg")];

/// Source: mkfs.xfs(8), 5.19 and later.
const XFS_LEAST: u64 = 300 << 20;
/// Valid values of `-i size=`, in bytes. Source: mkfs.xfs(8). 256 requires version 4, which ister does not support.
const XFS_INODES: RangeInclusive<u32> = 512..=2048;
/// In bytes. Source: `XFS_AG_MIN_BYTES`.
const XFS_LEAST_GROUP: u64 = 16 << 20;
/// Limit on the number of groups, which are counted one by one.
const XFS_MOST_GROUPS: u64 = 1 << 20;

fn ext_capacity(request: &CapacityRequest, kind: ext::ExtKind) -> Option<Capacity> {
    /// Inodes in use on an empty filesystem: the reserved ones and lost+found.
    const TAKEN: u64 = 11;
    let options = for_sectors(request, "-b");
    let made = ext::ExtRequest { kind, size: request.size.0, options: &options }.forecast()?;
    Some(Capacity {
        bytes: Bytes(made.free_blocks.saturating_mul(made.block_size)),
        inodes: Some(made.inodes.saturating_sub(TAKEN)),
        unit: made.block_size,
        per_node: 0,
    })
}

fn vfat_capacity(request: &CapacityRequest) -> Option<Capacity> {
    let options = for_sectors(request, "-S");
    let made = fat::FatRequest { size: request.size.0, options: &options }.forecast()?;
    Some(Capacity {
        bytes: Bytes(made.free_clusters.saturating_mul(made.cluster_size)),
        inodes: None,
        unit: made.cluster_size,
        per_node: 0,
    })
}

/// The options, with the one that the plan adds for a disk with large sectors, unless the template contains it.
fn for_sectors(request: &CapacityRequest, option: &str) -> String {
    let is_set = settings(request.options).iter().any(|(set, _)| *set == option);
    let added = if request.sector == 4096 && !is_set { format!(" {option} 4096") } else { String::new() };
    format!("{}{added}", request.options)
}

/// Uses the defaults of the plan for mkfs.xfs, unless the template's options override them.
fn xfs_capacity(request: &CapacityRequest) -> Option<Capacity> {
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
                Some(bytes) => {
                    let is_taken = |size: &u32| XFS_INODES.contains(size) && size.is_power_of_two();
                    shape.inode_size = bytes.parse().ok().filter(is_taken)?;
                }
                None if setting.starts_with("maxpct=") || setting.starts_with("sparse=") => {}
                None => return None,
            },
            ("-d", setting) => {
                let most = (request.size.0 / XFS_LEAST_GROUP).min(XFS_MOST_GROUPS);
                let is_taken = |groups: &u32| (1..=most).contains(&u64::from(*groups));
                shape.groups = setting.strip_prefix("agcount=")?.parse().ok().filter(is_taken)?;
            }
            _ => return None,
        }
    }
    let inode_size = u64::from(shape.inode_size);
    Some(Capacity { bytes: Bytes(xfs::capacity(&shape)), inodes: None, unit: 4096, per_node: inode_size })
}

/// `None` if the options are unknown.
fn btrfs_profiles(options: &str) -> Option<btrfs::Profiles> {
    let mut profiles = if is_mixed(options) {
        btrfs::Profiles { mixed: true, metadata_copies: 1, node_size: 4096, ..btrfs::Profiles::default() }
    } else {
        btrfs::Profiles::default()
    };
    for (option, value) in settings(options) {
        match (option, value) {
            setting if MIXED.contains(&setting) => {}
            ("-m", "single") => profiles.metadata_copies = 1,
            ("-m", "dup" | "DUP") => profiles.metadata_copies = 2,
            ("-d", "single") => profiles.data_copies = 1,
            ("-d", "dup" | "DUP") => profiles.data_copies = 2,
            ("-n", "4096") => profiles.node_size = 4096,
            ("-n", "16384" | "16k") | ("-s", "4096" | "4k") | ("-O" | "-R" | "-K" | "-q", _) => {}
            _ => return None,
        }
    }
    // With mixed block groups, data and metadata have the same profile.
    (!profiles.mixed || profiles.metadata_copies == profiles.data_copies).then_some(profiles)
}

fn btrfs_capacity(request: &CapacityRequest) -> Option<Capacity> {
    let profiles = btrfs_profiles(request.options)?;
    if request.size.0 < btrfs::minimum_size(profiles) {
        return None;
    }
    Some(Capacity {
        bytes: Bytes(btrfs::capacity(request.size.0, profiles)),
        inodes: None,
        unit: 4096,
        // As documented in `btrfs::capacity`.
        per_node: 1024,
    })
}

/// Splits options into pairs of option and setting: `-m a,b` gives two pairs. The setting of a flag is empty.
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

    fn asked(kind: FilesystemType, mebibytes: u64, options: &str) -> Option<Capacity> {
        capacity(&CapacityRequest { kind, size: Bytes::mib(mebibytes), options, sector: 512 })
    }

    #[test]
    fn options_are_split_into_settings() {
        assert_eq!(
            settings("-m a=1,b=2 -K -isize=512"),
            [("-m", "a=1"), ("-m", "b=2"), ("-K", ""), ("-i", "size=512")]
        );
    }

    #[test]
    fn mixed_block_groups_have_two_names() {
        let least = |options| minimum_size(FilesystemType::Btrfs, options);
        assert_eq!(least("-M"), Some(Bytes::mib(16)));
        assert_eq!(least("-O no-holes,mixed-bg"), least("-M"));
        assert_eq!(least("--mixed -m dup -d dup"), Some(Bytes::mib(157)));
        assert_eq!(least("-M -d dup"), None);
        assert_eq!(least("-M --csum=sha256"), None);
        assert_eq!(least("--csum=sha256"), Some(Bytes::mib(109)));
        assert!(asked(FilesystemType::Btrfs, 64, "-O mixed-bg").is_some());
    }

    #[test]
    fn the_sector_size_of_the_template_takes_precedence() {
        let large = |options| {
            let (kind, size) = (FilesystemType::Vfat, Bytes::mib(300));
            capacity(&CapacityRequest { kind, size, options, sector: 4096 })
        };
        assert_eq!(large("-S 512"), asked(FilesystemType::Vfat, 300, "-S 512"));
        assert_eq!(large(""), asked(FilesystemType::Vfat, 300, "-S 4096"));
    }

    #[test]
    fn capacity_grows_with_the_size() {
        for kind in [FilesystemType::Ext4, FilesystemType::Vfat, FilesystemType::Xfs, FilesystemType::Btrfs] {
            let small = asked(kind, 600, "").unwrap();
            let large = asked(kind, 1200, "").unwrap();
            assert!(small.bytes < large.bytes && large.bytes < Bytes::mib(1200), "{kind}");
        }
    }

    #[test]
    fn unsupported_sizes_and_options_have_no_forecast() {
        assert_eq!(asked(FilesystemType::Xfs, 200, ""), None);
        assert_eq!(asked(FilesystemType::Xfs, 400, "-l size=128m"), None);
        assert_eq!(asked(FilesystemType::Btrfs, 64, ""), None);
        assert_eq!(asked(FilesystemType::Swap, 64, ""), None);
    }

    /// Options come from a template and can contain arbitrary numbers.
    #[test]
    fn invalid_numbers_have_no_forecast() {
        for options in ["-b 0", "-b 0xffffffffffffffff -g 256"] {
            assert_eq!(asked(FilesystemType::Ext4, 400, options), None, "{options}");
        }
        for options in [
            "-i size=0",
            "-i size=256",
            "-i size=1000",
            "-i size=67108864",
            "-d agcount=0",
            "-d agcount=26",
            "-d agcount=4294967295",
        ] {
            assert_eq!(asked(FilesystemType::Xfs, 400, options), None, "{options}");
        }
        assert!(asked(FilesystemType::Xfs, 400, "-i size=2048 -d agcount=25").is_some());
        // 128 TiB in 2^29 groups, and more XFS groups than are counted.
        assert_eq!(asked(FilesystemType::Ext4, 128 << 20, "-b 1024 -g 256"), None);
        assert_eq!(asked(FilesystemType::Xfs, 1 << 43, "-d agcount=4294967295"), None);
    }
}
