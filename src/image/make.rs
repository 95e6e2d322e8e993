//! Making filesystems, each by its own program, as the plan's argument vectors say, and filling them.
//!
//! ext2, ext3 and ext4 are made with their content, in place if the disk is an image. The others are made empty in a sparse
//! file of the filesystem's size and then filled by ister itself, since other programs lose much of what a tree holds. What such a
//! file holds then goes into the partition, encrypted where the plan says so.

use super::{deliver, mkfs_defaults, preserved, read_back, space};
use crate::disk::{Fill, Scan, Window, btrfs, ext, fat, scan, survey, xfs};
use crate::host::{Blame, Context, Failure, Invocation, run};
use crate::plan::layout::SectorSize;
use crate::plan::{DEVICE, Filesystem, LUKS_DATA_OFFSET, Partition, Place, Plan, TREE};
use crate::template::{Bytes, FilesystemType};
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
    /// A directory for temporary files.
    pub workspace: &'a Path,
    /// The partition's own part of their names.
    pub name: String,
    /// No time is later: seconds since 1970.
    pub epoch: u64,
    pub passphrases: &'a BTreeMap<String, String>,
    pub seed: Option<&'a str>,
}

/// What goes into a partition.
pub struct Content<'a> {
    pub place: &'a Place,
    pub directory: &'a Path,
    /// Without extents.
    pub scan: Scan,
}

/// Whether everything fits, and its filesystem can hold it, before anything is written.
pub fn check<'a>(
    plan: &Plan,
    directories: &'a [(Place, PathBuf)],
    epoch: u64,
) -> Result<Vec<Content<'a>>, Failure> {
    let mut contents = Vec::new();
    for (place, directory) in directories {
        let (disk, partition) = plan.partition(place).expect("directories are of the plan's partitions");
        let scan = survey(directory, epoch as i64)
            .map_err(|error| Failure::new("could not read what goes into the image").caused_by(&error))?;
        if let Some(filesystem) = &partition.filesystem {
            if !filesystem.keep || filesystem.kind == FilesystemType::Vfat {
                read_back::check(&disk.name, partition, filesystem, &scan)?;
            }
            if !filesystem.keep {
                space::check(&disk.name, partition, filesystem.kind, directory)?;
            }
        }
        contents.push(Content { place, directory, scan });
    }
    Ok(contents)
}

/// Makes the partition's filesystem with its content, and reads it back.
pub fn make(partition: &Partition, content: Option<&Content>, target: &Target) -> Result<(), Failure> {
    let Some(filesystem) = &partition.filesystem else { return Ok(()) };
    if filesystem.keep {
        return match (filesystem.kind, content) {
            (FilesystemType::Vfat, Some(content)) => {
                preserved::add_to_vfat(partition, content.directory, target)
                    .map_err(|f| f.context(format!("could not add files to the kept {}", partition.title())))
                    .and_then(|()| read_back_target(partition, filesystem, content, target))
            }
            // What belongs there waits for the first boot.
            _ => Ok(()),
        };
    }
    // A device is held by us alone until all is written.
    let in_place = is_ext(filesystem.kind) && partition.encryption.is_none() && target.blank;
    let made = if in_place {
        make_in_place(partition, filesystem, content.map(|c| c.directory), target)
    } else {
        make_apart(partition, filesystem, content, target)
    };
    let made = made.and_then(|()| match content {
        // Of one that is encrypted this was done before.
        Some(content) if partition.encryption.is_none() => {
            read_back_target(partition, filesystem, content, target)
        }
        _ => Ok(()),
    });
    made.map_err(|failure| explain(failure, partition, filesystem.kind, target))
}

fn read_back_target(
    partition: &Partition,
    filesystem: &Filesystem,
    content: &Content,
    target: &Target,
) -> Result<(), Failure> {
    let window = Window { file: target.file, offset: target.offset.0, size: partition.size.0 };
    read_back::read_back(partition, filesystem, &content.scan, &window)
}

fn is_ext(kind: FilesystemType) -> bool {
    matches!(kind, FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4)
}

fn make_in_place(
    partition: &Partition,
    filesystem: &Filesystem,
    directory: Option<&Path>,
    target: &Target,
) -> Result<(), Failure> {
    mke2fs(filesystem, directory, OsStr::new(&target.device()), target)?;
    ext::normalize(target.file, target.offset.0, partition.size.0, target.epoch as i64)
        .map_err(|error| Failure::new("could not normalize its timestamps").caused_by(&error))
}

fn mke2fs(
    filesystem: &Filesystem,
    directory: Option<&Path>,
    device: &OsStr,
    target: &Target,
) -> Result<(), Failure> {
    let directory = target.directory(directory)?;
    let directory = directory.as_ref();
    let config = target.workspace.join(format!("mke2fs-{}.conf", target.name));
    std::fs::write(&config, ext::MKE2FS_CONFIG)
        .context(|| format!("could not write `{}`", config.display()))?;
    let mke2fs = fill_in(&filesystem.mkfs, device, directory.as_os_str(), target.epoch);
    run(&mke2fs.env("MKE2FS_CONFIG", &config)).map(|_| ())
}

/// On a sparse file of the filesystem's size, whose bytes then go into the partition.
fn make_apart(
    partition: &Partition,
    filesystem: &Filesystem,
    content: Option<&Content>,
    target: &Target,
) -> Result<(), Failure> {
    let directory = content.map(|content| content.directory);
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
            mke2fs(filesystem, directory, path.as_os_str(), target)?;
            ext::normalize(&file, 0, size, target.epoch as i64)
                .map_err(|error| Failure::new("could not normalize its timestamps").caused_by(&error))?;
        }
        FilesystemType::Vfat => {
            mkfs()?;
            if let Some(directory) = directory {
                fill_vfat(partition, directory, &Window { file: &file, offset: 0, size }, true, target)?;
            }
        }
        FilesystemType::Swap => drop(mkfs()?),
        FilesystemType::Xfs | FilesystemType::Btrfs => {
            let argv = mkfs_defaults::for_this_host(&filesystem.mkfs)?;
            run(&fill_in(&argv, path.as_os_str(), OsStr::new(""), target.epoch))?;
            fill(filesystem, directory, &file, target)?;
        }
    }
    if let Some(content) = content.filter(|_| partition.encryption.is_some()) {
        let window = Window { file: &file, offset: 0, size };
        read_back::read_back(partition, filesystem, &content.scan, &window)?;
    }
    deliver::deliver(partition, filesystem.kind, &file, target)?;
    std::fs::remove_file(&path).context(context)
}

/// `is_blank`: what is free there reads as zeros.
pub fn fill_vfat(
    partition: &Partition,
    directory: &Path,
    window: &Window,
    is_blank: bool,
    target: &Target,
) -> Result<(), Failure> {
    let scan = scan(directory, target.epoch as i64)
        .map_err(|error| Failure::new("could not read what goes into it").caused_by(&error))?;
    fat::fill(window, &scan, is_blank).map_err(|error| match error {
        fat::WriteError::Full { need, have } => full(need, have),
        fat::WriteError::Node { path, problem } => {
            read_back::cannot_hold(target.disk_name(), partition, &path, &problem)
        }
        error => Failure::new("could not fill the vfat filesystem").caused_by(&error),
    })
}

/// Fills an empty XFS or btrfs.
fn fill(
    filesystem: &Filesystem,
    directory: Option<&Path>,
    file: &File,
    target: &Target,
) -> Result<(), Failure> {
    let directory = target.directory(directory)?;
    let directory = directory.as_ref();
    let scan = scan(directory, target.epoch as i64)
        .map_err(|error| Failure::new("could not read what goes into it").caused_by(&error))?;
    let id = filesystem.uuid.as_deref().and_then(|text| Uuid::parse_str(text).ok()).unwrap_or_default();
    let epoch = target.epoch as i64;
    match filesystem.kind {
        FilesystemType::Xfs => {
            xfs::fill(file, &scan, &Fill { epoch, seed: id }).map_err(|error| match error {
                xfs::WriteError::Full { need, have } => full(need, have),
                error @ xfs::WriteError::Node { .. } => refused(&error),
                error => Failure::new("could not fill the XFS filesystem").caused_by(&error),
            })
        }
        _ => btrfs::fill(file, &scan, &Fill { epoch, seed: id }).map_err(|error| match error {
            btrfs::WriteError::Full { need, have } => full(need, have),
            error @ (btrfs::WriteError::Node { .. } | btrfs::WriteError::Attribute { .. }) => refused(&error),
            error => Failure::new("could not fill the btrfs filesystem").caused_by(&error),
        }),
    }
}

/// What only its writer knows that it cannot hold.
fn refused(error: &dyn std::error::Error) -> Failure {
    Failure::new(error.to_string()).of_template()
}

/// The mark of a filesystem that is too small, for [`explain`].
const FULL: &str = "its content does not fit";

fn full(need: u64, have: u64) -> Failure {
    Failure::new(FULL).detail(format!("it needs {}, there is room for {}", Bytes(need), Bytes(have)))
}

fn explain(failure: Failure, partition: &Partition, kind: FilesystemType, target: &Target) -> Failure {
    const SAID: &[&str] = &["Could not allocate", "No space left on device while populating"];
    let said = failure.details.join("\n");
    if failure.message == FULL || SAID.iter().any(|words| said.contains(words)) {
        return space::does_not_fit(target.disk_name(), partition, said);
    }
    if failure.blame == Blame::Template {
        return failure;
    }
    let message = format!("could not make the {kind} filesystem of {}", partition.title());
    if said.contains("No space left on device") {
        return failure.context(message).help("free some space, or choose another directory with -o");
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
    /// What goes into the filesystem; an empty directory if nothing does.
    fn directory<'f>(&self, directory: Option<&'f Path>) -> Result<Cow<'f, Path>, Failure> {
        if let Some(directory) = directory {
            return Ok(Cow::Borrowed(directory));
        }
        let empty = self.workspace.join(format!("empty-{}", self.name));
        std::fs::create_dir(&empty).context(|| format!("could not make `{}`", empty.display()))?;
        Ok(Cow::Owned(empty))
    }

    /// The whole disk, as children name it.
    fn device(&self) -> String {
        crate::host::name_of(self.inherited)
    }

    pub fn disk_name(&self) -> &str {
        self.name.rsplit_once('-').map_or("", |(disk, _)| disk)
    }
}
