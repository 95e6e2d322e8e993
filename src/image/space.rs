//! Whether content fits, before anything is written.

use crate::plan::Partition;
use crate::template::{Bytes, FilesystemType};
use crate::tool::{Context, Failure};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a folder's content takes on a filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Every file rounded up to whole blocks of 4 KiB, folders and long links too.
    pub bytes: u64,
    pub entries: u64,
}

pub fn usage(folder: &Path) -> Result<Usage, Failure> {
    let mut usage = Usage::default();
    let mut seen = HashSet::new();
    measure(folder, &mut usage, &mut seen).context(|| format!("could not measure `{}`", folder.display()))?;
    Ok(usage)
}

fn measure(folder: &Path, usage: &mut Usage, seen: &mut HashSet<u64>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert(metadata.ino()) {
            continue;
        }
        usage.entries += 1;
        if metadata.is_dir() {
            usage.bytes += 4096;
            measure(&entry.path(), usage, seen)?;
        } else if metadata.is_file() {
            usage.bytes += metadata.len().div_ceil(4096) * 4096;
        } else if metadata.len() > 60 {
            // A link's target that does not fit into the inode.
            usage.bytes += 4096;
        }
    }
    Ok(())
}

/// What a partition can hold at best, after the filesystem's own structures.
fn capacity(partition: &Partition, kind: FilesystemType) -> Bytes {
    let size = partition.size.0;
    Bytes(match kind {
        // An inode of 256 bytes for every 16 KiB, and the journal. Source: mke2fs.conf(5); e2fsprogs'
        // ext2fs_default_journal_size.
        FilesystemType::Ext3 | FilesystemType::Ext4 => size - size / 64 - journal(size),
        FilesystemType::Ext2 => size - size / 64,
        // Two tables with at least 16 bits for each cluster of 2 KiB, or 32 bits for one of 4 KiB.
        FilesystemType::Vfat => size - size / 500 - 64 * Bytes::KIB,
        _ => size,
    })
}

fn journal(size: u64) -> u64 {
    match size / 4096 {
        0..2_048 => 0,
        2_048..32_768 => 4 * Bytes::MIB,
        32_768..262_144 => 16 * Bytes::MIB,
        262_144..524_288 => 32 * Bytes::MIB,
        524_288..4_194_304 => 64 * Bytes::MIB,
        4_194_304..8_388_608 => 128 * Bytes::MIB,
        8_388_608..16_777_216 => 256 * Bytes::MIB,
        _ => 1024 * Bytes::MIB,
    }
}

/// An error that names the partition, what is needed and what there is.
pub fn check(partition: &Partition, kind: FilesystemType, usage: Usage) -> Result<(), Failure> {
    let have = capacity(partition, kind);
    if usage.bytes <= have.0 {
        return Ok(());
    }
    Err(does_not_fit(
        partition,
        format!("its content needs {}, {kind} in {} has room for {have}", Bytes(usage.bytes), partition.size),
    ))
}

pub fn does_not_fit(partition: &Partition, detail: String) -> Failure {
    Failure::new(format!("the content does not fit into {}", partition.title()))
        .detail(detail)
        .help(format!("raise `size` of partition {} in PartitionLayout, or install less", partition.number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Lba;
    use uuid::Uuid;

    #[test]
    fn usage_counts_blocks_and_links_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("d/a"), vec![1; 5000]).unwrap();
        std::fs::hard_link(folder.path().join("d/a"), folder.path().join("b")).unwrap();
        assert_eq!(usage(folder.path()).unwrap(), Usage { bytes: 4096 + 8192, entries: 2 });
    }

    #[test]
    fn the_error_names_partition_need_and_have() {
        let partition = Partition {
            number: 1,
            name: "ESP".into(),
            type_guid: Uuid::nil(),
            guid: Uuid::nil(),
            first_lba: Lba(2048),
            last_lba: Lba(67_583),
            size: Bytes::mib(32),
            legacy_boot: false,
            filesystem: None,
            mount: Some("/boot".into()),
        };
        let usage = |mib: u64| Usage { bytes: mib << 20, entries: 1 };
        assert!(check(&partition, FilesystemType::Vfat, usage(31)).is_ok());
        let failure = check(&partition, FilesystemType::Vfat, usage(38)).unwrap_err();
        assert_eq!(failure.message, "the content does not fit into partition 1 (`/boot`)");
        assert_eq!(failure.details, ["its content needs 38 MiB, vfat in 32 MiB has room for 31.9 MiB"]);
    }
}
