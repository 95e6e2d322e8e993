//! Checks that the finished tree fits before anything is written. Hooks may have added to the content that the plan
//! was computed from.

use crate::host::{Context, Failure, Part};
use crate::plan::{ContentItem, ItemKind, Partition, usage};
use crate::template::FilesystemType;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Fails with the partition, the space needed and the capacity if a directory does not fit.
pub(super) fn check(
    disk: &str,
    partition: &Partition,
    kind: FilesystemType,
    directory: &Path,
) -> Result<(), Failure> {
    // If the capacity cannot be computed in advance, making the filesystem reports the error.
    let Some(space) = &partition.space else { return Ok(()) };
    let mut items = Vec::new();
    measure(directory, "", &mut items, &mut HashSet::new())
        .context(|| format!("could not measure `{}`", directory.display()))?;
    let usage = usage(kind, space, items.iter());
    if usage.fits(space) {
        return Ok(());
    }
    Err(does_not_fit(disk, partition, usage.against(kind, partition.size, space)))
}

fn measure(
    directory: &Path,
    path: &str,
    items: &mut Vec<ContentItem>,
    seen: &mut HashSet<u64>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.nlink() > 1 && !metadata.is_dir() && !seen.insert(metadata.ino()) {
            continue;
        }
        let path = format!("{path}/{}", entry.file_name().to_string_lossy());
        let (kind, bytes) = match () {
            () if metadata.is_dir() => (ItemKind::Directory, 0),
            // A sparse file occupies its allocated blocks, not its apparent size.
            () if metadata.is_file() => (ItemKind::File, metadata.len().min(metadata.blocks() * 512)),
            () if metadata.is_symlink() => (ItemKind::Link, metadata.len()),
            () => (ItemKind::Other, 0),
        };
        if kind == ItemKind::Directory {
            measure(&entry.path(), &path, items, seen)?;
        }
        items.push(ContentItem { path, bytes, kind });
    }
    Ok(())
}

pub(super) fn does_not_fit(disk: &str, partition: &Partition, detail: String) -> Failure {
    Failure::new(format!("the content does not fit into {}", partition.title()))
        .detail(detail)
        .help(format!(
            "increase `size` of partition {} in PartitionLayout, or install less",
            partition.number
        ))
        .of_template()
        .about(disk, partition.number, Part::Size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::About;
    use crate::plan::Space;
    use crate::plan::layout::Lba;
    use crate::template::Bytes;
    use uuid::Uuid;

    #[test]
    fn error_names_partition_need_and_capacity() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("d")).unwrap();
        std::fs::write(directory.path().join("d/a"), vec![1; 5000]).unwrap();
        std::fs::hard_link(directory.path().join("d/a"), directory.path().join("b")).unwrap();
        let partition = |offers: u64| Partition {
            number: 1,
            name: "ESP".into(),
            type_guid: Uuid::nil(),
            guid: Uuid::nil(),
            first_lba: Lba(2048),
            last_lba: Lba(67_583),
            size: Bytes::mib(32),
            legacy_boot: false,
            no_auto: false,
            encryption: None,
            filesystem: None,
            mount: Some("/boot".into()),
            space: Some(Space {
                offers: Bytes(offers),
                inodes: None,
                allocation_unit: Bytes(2048),
                per_file: Bytes(0),
                holds: None,
                left: None,
                another_kernel: None,
            }),
        };
        // One file of three units and two directories of one unit each; the hard link costs nothing.
        assert!(check("kvm.img", &partition(5 * 2048), FilesystemType::Vfat, directory.path()).is_ok());
        let failure =
            check("kvm.img", &partition(5 * 2048 - 1), FilesystemType::Vfat, directory.path()).unwrap_err();
        assert_eq!(failure.message, "the content does not fit into partition 1 (`/boot`)");
        assert_eq!(failure.details, ["it needs 10 KiB, vfat in 32 MiB has a capacity of 10.0 KiB"]);
        assert_eq!(
            failure.about.as_deref(),
            Some(&About::Partition { disk: "kvm.img".to_owned(), partition: 1, what: Part::Size })
        );
    }
}
