//! Making filesystems, each by its own program, as the plan's argument vectors say, and filling them.
//!
//! ext2, ext3 and ext4 are made with their content, in place if the disk is an image. The others are made empty in a sparse
//! file of the filesystem's size and then filled: vfat by mtools, XFS and btrfs by ister itself, since their programs lose
//! much of what a tree holds. What such a file holds then goes into the partition, enciphered where the plan says so.

use super::{deliver, kept, mkfs_defaults, space, vfat};
use crate::filesystem::{Fill, btrfs, ext, scan, xfs};
use crate::layout::SectorSize;
use crate::plan::{DEVICE, Filesystem, LUKS_DATA_OFFSET, Partition, Place, Plan, TREE};
use crate::template::{Bytes, FilesystemType};
use crate::tool::{Context, Failure, Invocation, run};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Where a filesystem goes.
pub struct Target<'a> {
    /// The whole disk.
    pub file: &'a File,
    /// The number under which children have inherited it.
    pub inherited: RawFd,
    /// Bytes from the disk's start to the partition's.
    pub offset: Bytes,
    /// Of the disk.
    pub sector: SectorSize,
    /// A new file, which reads as zeros where nothing was written.
    pub blank: bool,
    /// A folder for temporary files.
    pub workspace: &'a Path,
    /// The partition's own part of their names.
    pub name: String,
    /// No time is later: seconds since 1970.
    pub epoch: u64,
    pub passphrases: &'a BTreeMap<String, String>,
    pub seed: Option<&'a str>,
}

/// Whether everything fits, before anything is written.
pub fn check_space(plan: &Plan, folders: &[(Place, PathBuf)]) -> Result<(), Failure> {
    for (place, folder) in folders {
        let (disk, partition) = plan.partition(place).expect("folders are of the plan's partitions");
        if let Some(filesystem) = partition.filesystem.as_ref().filter(|f| !f.keep) {
            space::check(&disk.name, partition, filesystem.kind, folder)?;
        }
    }
    Ok(())
}

/// Makes the partition's filesystem with what `folder` holds.
pub fn make(partition: &Partition, folder: Option<&Path>, target: &Target) -> Result<(), Failure> {
    let Some(filesystem) = &partition.filesystem else { return Ok(()) };
    if filesystem.keep {
        return match (filesystem.kind, folder) {
            (FilesystemType::Vfat, Some(folder)) => kept::add_to_vfat(partition, folder, target)
                .map_err(|f| f.context(format!("could not add files to the kept {}", partition.title()))),
            // What belongs there waits for the first boot.
            _ => Ok(()),
        };
    }
    // A device is held by us alone until all is written.
    let in_place = is_ext(filesystem.kind) && partition.encryption.is_none() && target.blank;
    let made = if in_place {
        make_in_place(partition, filesystem, folder, target)
    } else {
        make_apart(partition, filesystem, folder, target)
    };
    made.map_err(|failure| explain(failure, partition, filesystem.kind, target))
}

fn is_ext(kind: FilesystemType) -> bool {
    matches!(kind, FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4)
}

fn make_in_place(
    partition: &Partition,
    filesystem: &Filesystem,
    folder: Option<&Path>,
    target: &Target,
) -> Result<(), Failure> {
    mke2fs(filesystem, folder, OsStr::new(&target.device()), target)?;
    ext::settle(target.file, target.offset.0, partition.size.0, target.epoch as i64)
        .map_err(|error| Failure::new("could not settle its times").caused_by(&error))
}

fn mke2fs(
    filesystem: &Filesystem,
    folder: Option<&Path>,
    device: &OsStr,
    target: &Target,
) -> Result<(), Failure> {
    let folder = target.folder(folder)?;
    let folder = folder.as_ref();
    let config = target.workspace.join(format!("mke2fs-{}.conf", target.name));
    std::fs::write(&config, ext::MKE2FS_CONFIG)
        .context(|| format!("could not write `{}`", config.display()))?;
    let mke2fs = fill_in(&filesystem.mkfs, device, folder.as_os_str(), target.epoch);
    run(&mke2fs.env("MKE2FS_CONFIG", &config)).map(|_| ())
}

/// On a sparse file of the filesystem's size, whose bytes then go into the partition.
fn make_apart(
    partition: &Partition,
    filesystem: &Filesystem,
    folder: Option<&Path>,
    target: &Target,
) -> Result<(), Failure> {
    let path = target.workspace.join(format!("filesystem-{}", target.name));
    let context = || format!("could not write `{}`", path.display());
    let file = File::options().create_new(true).read(true).write(true).open(&path).context(context)?;
    let size = match &partition.encryption {
        Some(_) => partition.size.0.saturating_sub(LUKS_DATA_OFFSET.0),
        None => partition.size.0,
    };
    file.set_len(size).context(context)?;
    let mkfs = || run(&fill_in(&filesystem.mkfs, path.as_os_str(), OsStr::new(""), target.epoch));
    match filesystem.kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4 => {
            mke2fs(filesystem, folder, path.as_os_str(), target)?;
            ext::settle(&file, 0, size, target.epoch as i64)
                .map_err(|error| Failure::new("could not settle its times").caused_by(&error))?;
        }
        FilesystemType::Vfat => {
            mkfs()?;
            if let Some(folder) = folder {
                vfat::add(folder, &path.to_string_lossy(), &|_| false, target.epoch)?;
            }
        }
        FilesystemType::Swap => drop(mkfs()?),
        FilesystemType::Xfs | FilesystemType::Btrfs => {
            let argv = mkfs_defaults::for_this_host(&filesystem.mkfs)?;
            run(&fill_in(&argv, path.as_os_str(), OsStr::new(""), target.epoch))?;
            fill(filesystem, folder, &file, target)?;
        }
    }
    deliver::deliver(partition, filesystem.kind, &file, target)?;
    std::fs::remove_file(&path).context(context)
}

/// Fills an empty XFS or btrfs.
fn fill(filesystem: &Filesystem, folder: Option<&Path>, file: &File, target: &Target) -> Result<(), Failure> {
    let folder = target.folder(folder)?;
    let folder = folder.as_ref();
    let scan = scan(folder, target.epoch as i64)
        .map_err(|error| Failure::new("could not read what goes into it").caused_by(&error))?;
    let id = filesystem.uuid.as_deref().and_then(|text| Uuid::parse_str(text).ok()).unwrap_or_default();
    let epoch = target.epoch as i64;
    match filesystem.kind {
        FilesystemType::Xfs => {
            xfs::fill(file, &scan, &Fill { epoch, seed: id }).map_err(|error| match error {
                xfs::WriteError::Full { need, have } => full(need, have),
                error => Failure::new("could not fill the XFS filesystem").caused_by(&error),
            })
        }
        _ => btrfs::fill(file, &scan, &Fill { epoch, seed: id }).map_err(|error| match error {
            btrfs::WriteError::Full { need, have } => full(need, have),
            error => Failure::new("could not fill the btrfs filesystem").caused_by(&error),
        }),
    }
}

/// The mark of a filesystem that is too small, for [`explain`].
const FULL: &str = "its content does not fit";

fn full(need: u64, have: u64) -> Failure {
    Failure::new(FULL).detail(format!("it needs {}, there is room for {}", Bytes(need), Bytes(have)))
}

fn explain(failure: Failure, partition: &Partition, kind: FilesystemType, target: &Target) -> Failure {
    const SAID: &[&str] = &["Could not allocate", "Disk full", "No space left on device while populating"];
    let said = failure.details.join("\n");
    if failure.message == FULL || SAID.iter().any(|words| said.contains(words)) {
        return space::does_not_fit(target.disk_name(), partition, said);
    }
    let message = format!("could not make the {kind} filesystem of {}", partition.title());
    if said.contains("No space left on device") {
        return failure.context(message).help("free some space, or choose another folder with -o");
    }
    failure.context(message)
}

fn fill_in(argv: &[String], device: &OsStr, tree: &OsStr, epoch: u64) -> Invocation {
    let mut invocation = Invocation::new(argv[0].as_str());
    for arg in &argv[1..] {
        invocation = match arg.as_str() {
            DEVICE => invocation.arg(device),
            TREE => invocation.arg(tree),
            other => invocation.arg(other),
        };
    }
    // mke2fs before 1.47.1 knows only the second name.
    invocation.env("SOURCE_DATE_EPOCH", epoch.to_string()).env("E2FSPROGS_FAKE_TIME", epoch.to_string())
}

impl Target<'_> {
    /// What goes into the filesystem; an empty folder if nothing does.
    fn folder<'f>(&self, folder: Option<&'f Path>) -> Result<Cow<'f, Path>, Failure> {
        if let Some(folder) = folder {
            return Ok(Cow::Borrowed(folder));
        }
        let empty = self.workspace.join(format!("empty-{}", self.name));
        std::fs::create_dir(&empty).context(|| format!("could not make `{}`", empty.display()))?;
        Ok(Cow::Owned(empty))
    }

    /// The whole disk, as children name it.
    fn device(&self) -> String {
        crate::tool::name_of(self.inherited)
    }

    fn disk_name(&self) -> &str {
        self.name.rsplit_once('-').map_or("", |(disk, _)| disk)
    }
}
