//! Makes filesystems with the argument vectors of the plan, and fills them.
//!
//! ext2, ext3 and ext4 are made together with their content, in place if the disk is an image. The other filesystems
//! are made empty in a sparse file of the filesystem's size and then filled by ister itself, because other programs
//! lose many attributes of a tree. The data of that file then goes into the partition, encrypted if the plan requests
//! it.

use super::{deliver, mkfs_defaults, preserved, read_back, space};
use crate::disk::{Fill, Scan, Window, btrfs, ext, fat, scan, survey, xfs};
use crate::host::{Blame, Context, Failure, FailureKind, Invocation, RunError, inherited_name, run};
use crate::plan::layout::SectorSize;
use crate::plan::{DEVICE, Filesystem, LUKS_DATA_OFFSET, Partition, PartitionId, Plan, TREE};
use crate::template::{Bytes, FilesystemType, Secret};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Why a filesystem could not be made.
pub(super) enum MakeError {
    /// The content is larger than the filesystem. Sizes are in bytes.
    Full {
        need: u64,
        have: u64,
    },
    /// Something that the filesystem cannot store, detected only while writing it.
    UnsupportedNode(String),
    Mkfs(RunError),
    Other(Failure),
}

impl From<Failure> for MakeError {
    fn from(failure: Failure) -> MakeError {
        MakeError::Other(failure)
    }
}

impl From<RunError> for MakeError {
    fn from(error: RunError) -> MakeError {
        MakeError::Mkfs(error)
    }
}

impl MakeError {
    /// Converts the error for a preserved filesystem, whose size does not come from the template.
    fn for_preserved(self) -> Failure {
        match self {
            MakeError::Full { need, have } => Failure::new("the content does not fit").detail(format!(
                "needs {}, capacity is {}",
                Bytes(need),
                Bytes(have)
            )),
            MakeError::UnsupportedNode(what) => Failure::new(what).of_template(),
            MakeError::Mkfs(error) => error.into(),
            MakeError::Other(failure) => failure,
        }
    }

    pub(super) fn explain(self, partition: &Partition, kind: FilesystemType, disk: &str) -> Failure {
        /// Messages of mke2fs for a filesystem that is too small for its content.
        const TOO_SMALL: &[&str] = &["Could not allocate", "No space left on device while populating"];
        let message = || format!("could not make the {kind} filesystem of {}", partition.title());
        match self {
            MakeError::Full { need, have } => {
                let detail = format!("needs {}, capacity is {}", Bytes(need), Bytes(have));
                space::does_not_fit(disk, partition, detail)
            }
            MakeError::UnsupportedNode(what) => Failure::new(what).of_template(),
            MakeError::Mkfs(error) if TOO_SMALL.iter().any(|words| error.has_printed(words)) => {
                space::does_not_fit(disk, partition, Failure::from(error).details.join("\n"))
            }
            MakeError::Mkfs(error) if error.has_printed("No space left on device") => {
                error.context(message()).help("free some space, or choose another directory with -o")
            }
            MakeError::Mkfs(error) => error.context(message()),
            MakeError::Other(failure) if failure.blame == Blame::Template => failure,
            MakeError::Other(failure) => {
                let is_full = failure.kind == FailureKind::StorageFull;
                let failure = failure.context(message());
                match is_full {
                    true => failure.help("free some space, or choose another directory with -o"),
                    false => failure,
                }
            }
        }
    }
}

/// The place where a filesystem is written.
pub(super) struct FilesystemTarget<'a> {
    /// The whole disk.
    pub file: &'a File,
    /// Bytes from the start of the disk to the start of the partition.
    pub offset: Bytes,
    /// Sector size of the disk.
    pub sector: SectorSize,
    /// Whether the disk is a new file, which reads as zeros where nothing was written.
    pub blank: bool,
    /// A directory for temporary files.
    pub workspace: &'a Path,
    /// Part of the names of temporary files that is unique to the partition.
    pub name: String,
    /// Upper limit of all timestamps, in seconds since 1970.
    pub epoch: u64,
    pub passphrases: &'a BTreeMap<String, Secret>,
    pub seed: Option<&'a str>,
}

/// Content of a partition.
pub(super) struct PartitionContent<'a> {
    pub place: &'a PartitionId,
    pub directory: &'a Path,
    /// The tree, without extents.
    pub scan: Scan,
}

/// Checks, before anything is written, that all content fits and that the filesystems can store it.
pub(super) fn check<'a>(
    plan: &Plan,
    directories: &'a [(PartitionId, PathBuf)],
    epoch: u64,
) -> Result<Vec<PartitionContent<'a>>, Failure> {
    let mut contents = Vec::new();
    for (place, directory) in directories {
        let (disk, partition) =
            plan.partition(place).expect("every directory belongs to a partition of the plan");
        let scan = survey(directory, epoch as i64)
            .map_err(|error| Failure::new("could not read the content of the image").caused_by(&error))?;
        if let Some(filesystem) = &partition.filesystem {
            if !filesystem.keep || filesystem.kind == FilesystemType::Vfat {
                read_back::check(&disk.name, partition, filesystem, &scan)?;
            }
            if !filesystem.keep {
                space::check(&disk.name, partition, filesystem.kind, directory)?;
            }
        }
        contents.push(PartitionContent { place, directory, scan });
    }
    Ok(contents)
}

/// Makes the partition's filesystem with its content and reads it back.
pub(super) fn make(
    partition: &Partition,
    content: Option<&PartitionContent>,
    target: &FilesystemTarget,
) -> Result<(), Failure> {
    let Some(filesystem) = &partition.filesystem else { return Ok(()) };
    if filesystem.keep {
        return match (filesystem.kind, content) {
            (FilesystemType::Vfat, Some(content)) => {
                preserved::add_to_vfat(partition, content.directory, target)
                    .map_err(|error| {
                        let adding = format!("could not add files to the preserved {}", partition.title());
                        error.for_preserved().context(adding)
                    })
                    .and_then(|()| read_back_target(partition, filesystem, content, target))
            }
            // The first boot adds the files that belong there.
            _ => Ok(()),
        };
    }
    // A device is opened exclusively until everything is written, so mke2fs cannot open it.
    let in_place = is_ext(filesystem.kind) && partition.encryption.is_none() && target.blank;
    let made = if in_place {
        make_in_place(partition, filesystem, content.map(|c| c.directory), target)
    } else {
        make_in_temporary_file(partition, filesystem, content, target)
    };
    let made = made.and_then(|()| match content {
        // An encrypted filesystem was read back before it was encrypted.
        Some(content) if partition.encryption.is_none() => {
            Ok(read_back_target(partition, filesystem, content, target)?)
        }
        _ => Ok(()),
    });
    made.map_err(|error| error.explain(partition, filesystem.kind, target.disk_name()))
}

fn read_back_target(
    partition: &Partition,
    filesystem: &Filesystem,
    content: &PartitionContent,
    target: &FilesystemTarget,
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
    target: &FilesystemTarget,
) -> Result<(), MakeError> {
    mke2fs(filesystem, directory, OsStr::new(&target.device()), target)?;
    ext::normalize(target.file, target.offset.0, partition.size.0, target.epoch as i64).map_err(|error| {
        Failure::new("could not normalize the timestamps of the filesystem").caused_by(&error).into()
    })
}

fn mke2fs(
    filesystem: &Filesystem,
    directory: Option<&Path>,
    device: &OsStr,
    target: &FilesystemTarget,
) -> Result<(), MakeError> {
    let directory = target.directory(directory)?;
    let directory = directory.as_ref();
    let config = target.workspace.join(format!("mke2fs-{}.conf", target.name));
    std::fs::write(&config, ext::MKE2FS_CONFIG)
        .context(|| format!("could not write `{}`", config.display()))?;
    let mke2fs = fill_in(&filesystem.mkfs, device, directory.as_os_str(), target.epoch);
    run(&mke2fs.env("MKE2FS_CONFIG", &config).inheriting(target.file)?)?;
    Ok(())
}

/// Makes the filesystem in a sparse file of its size and copies the data into the partition.
fn make_in_temporary_file(
    partition: &Partition,
    filesystem: &Filesystem,
    content: Option<&PartitionContent>,
    target: &FilesystemTarget,
) -> Result<(), MakeError> {
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
            ext::normalize(&file, 0, size, target.epoch as i64).map_err(|error| {
                Failure::new("could not normalize the timestamps of the filesystem").caused_by(&error)
            })?;
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
    Ok(std::fs::remove_file(&path).context(context)?)
}

/// Fills a vfat filesystem. `is_blank`: its free space reads as zeros.
pub(super) fn fill_vfat(
    partition: &Partition,
    directory: &Path,
    window: &Window,
    is_blank: bool,
    target: &FilesystemTarget,
) -> Result<(), MakeError> {
    let scan = scan(directory, target.epoch as i64)
        .map_err(|error| Failure::new("could not read the content of the filesystem").caused_by(&error))?;
    fat::fill(window, &scan, is_blank).map_err(|error| match error {
        fat::WriteError::Full { need, have } => MakeError::Full { need, have },
        fat::WriteError::Node { path, problem } => {
            read_back::cannot_hold(target.disk_name(), partition, &path, &problem).into()
        }
        error => Failure::new("could not fill the vfat filesystem").caused_by(&error).into(),
    })
}

/// Fills an empty XFS or btrfs filesystem.
fn fill(
    filesystem: &Filesystem,
    directory: Option<&Path>,
    file: &File,
    target: &FilesystemTarget,
) -> Result<(), MakeError> {
    let directory = target.directory(directory)?;
    let directory = directory.as_ref();
    let scan = scan(directory, target.epoch as i64)
        .map_err(|error| Failure::new("could not read the content of the filesystem").caused_by(&error))?;
    let id = filesystem.uuid.as_deref().and_then(|text| Uuid::parse_str(text).ok()).unwrap_or_default();
    let epoch = target.epoch as i64;
    match filesystem.kind {
        FilesystemType::Xfs => {
            xfs::fill(file, &scan, &Fill { epoch, seed: id }).map_err(|error| match error {
                xfs::WriteError::Full { need, have } => MakeError::Full { need, have },
                error @ xfs::WriteError::Node { .. } => MakeError::UnsupportedNode(error.to_string()),
                error => Failure::new("could not fill the XFS filesystem").caused_by(&error).into(),
            })
        }
        _ => btrfs::fill(file, &scan, &Fill { epoch, seed: id }).map_err(|error| match error {
            btrfs::WriteError::Full { need, have } => MakeError::Full { need, have },
            error @ (btrfs::WriteError::Node { .. } | btrfs::WriteError::Attribute { .. }) => {
                MakeError::UnsupportedNode(error.to_string())
            }
            error => Failure::new("could not fill the btrfs filesystem").caused_by(&error).into(),
        }),
    }
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
    // mke2fs before 1.47.1 supports only the second variable.
    invocation.env("SOURCE_DATE_EPOCH", epoch.to_string()).env("E2FSPROGS_FAKE_TIME", epoch.to_string())
}

impl FilesystemTarget<'_> {
    /// Returns the directory with the content of the filesystem, or an empty directory if there is none.
    fn directory<'f>(&self, directory: Option<&'f Path>) -> Result<Cow<'f, Path>, Failure> {
        if let Some(directory) = directory {
            return Ok(Cow::Borrowed(directory));
        }
        let empty = self.workspace.join(format!("empty-{}", self.name));
        std::fs::create_dir(&empty).context(|| format!("could not create `{}`", empty.display()))?;
        Ok(Cow::Owned(empty))
    }

    /// Returns the path under which child processes open the disk.
    fn device(&self) -> String {
        inherited_name(self.file)
    }

    pub(super) fn disk_name(&self) -> &str {
        self.name.rsplit_once('-').map_or("", |(disk, _)| disk)
    }
}
