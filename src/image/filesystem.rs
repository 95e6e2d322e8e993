//! Making filesystems, each by its own program, as the plan's argument vectors say.

use super::{extents, space};
use crate::plan::{DEVICE, Partition, TREE};
use crate::template::{Bytes, FilesystemType};
use crate::tool::{Context, Failure, Invocation, run};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

/// Where a filesystem goes.
pub struct Target<'a> {
    pub image: &'a File,
    /// The number under which children have inherited the image.
    pub inherited: RawFd,
    /// Bytes from the image's start to the partition's.
    pub offset: Bytes,
    /// A folder for temporary files.
    pub workspace: &'a Path,
    /// Times of files that the programs make, seconds since 1970.
    pub epoch: u64,
}

/// Makes the partition's filesystem with what `folder` holds.
pub fn make(partition: &Partition, folder: Option<&Path>, target: &Target) -> Result<(), Failure> {
    let Some(filesystem) = &partition.filesystem else { return Ok(()) };
    let usage = folder.map(space::usage).transpose()?.unwrap_or_default();
    space::check(partition, filesystem.kind, usage)?;
    let made = match filesystem.kind {
        FilesystemType::Ext2 | FilesystemType::Ext3 | FilesystemType::Ext4 => {
            let empty = target.workspace.join(format!("empty-{}", partition.number));
            let folder = match folder {
                Some(folder) => folder,
                None => {
                    std::fs::create_dir(&empty)
                        .context(|| format!("could not make `{}`", empty.display()))?;
                    &empty
                }
            };
            let device = format!("/proc/self/fd/{}", target.inherited);
            run(&fill_in(&filesystem.mkfs, OsStr::new(&device), folder.as_os_str(), target.epoch)).map(|_| ())
        }
        FilesystemType::Vfat => {
            on_sparse_file(partition, &filesystem.mkfs, target).and_then(|()| match folder {
                Some(folder) => copy_into_vfat(folder, target),
                None => Ok(()),
            })
        }
        FilesystemType::Swap => on_sparse_file(partition, &filesystem.mkfs, target),
        FilesystemType::Btrfs | FilesystemType::Xfs => {
            Err(Failure::new(format!("this version of ister cannot make {}", filesystem.kind)))
        }
    };
    made.map_err(|failure| {
        const FULL: &[&str] =
            &["Could not allocate", "Disk full", "No space left on device while populating"];
        let said = failure.details.join("\n");
        if FULL.iter().any(|words| said.contains(words)) {
            let detail =
                format!("its content needs {}, the partition has {}", Bytes(usage.bytes), partition.size);
            return space::does_not_fit(partition, format!("{detail}\n{said}"));
        }
        let message = format!("could not make the {} filesystem of {}", filesystem.kind, partition.title());
        if said.contains("No space left on device") {
            return failure.context(message).help("free some space, or choose another folder with -o");
        }
        failure.context(message)
    })
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

/// For programs that know no offset: on a sparse file of the partition's size, whose data then goes into the image.
fn on_sparse_file(partition: &Partition, argv: &[String], target: &Target) -> Result<(), Failure> {
    let path = target.workspace.join(format!("filesystem-{}", partition.number));
    let context = || format!("could not write `{}`", path.display());
    let file = File::options().create_new(true).read(true).write(true).open(&path).context(context)?;
    file.set_len(partition.size.0).context(context)?;
    run(&fill_in(argv, path.as_os_str(), OsStr::new(""), target.epoch))?;
    extents::copy_data(&file, target.image, target.offset).context(context)?;
    std::fs::remove_file(&path).context(context)
}

/// Copies a folder into the vfat filesystem, folders and files in the order of their names.
fn copy_into_vfat(folder: &Path, target: &Target) -> Result<(), Failure> {
    let mut listing = Listing::default();
    listing.collect(folder, "::".to_owned()).context(|| format!("could not read `{}`", folder.display()))?;
    let device = format!("/proc/self/fd/{}@@{}", target.inherited, target.offset.0);
    let mtool = |program: &str| {
        Invocation::new(program)
            .args(["-i", &device])
            .env("SOURCE_DATE_EPOCH", target.epoch.to_string())
            .env("TZ", "UTC")
            // The filesystem is mkfs.vfat's: mtools' own ideas of geometry do not matter.
            .env("MTOOLS_SKIP_CHECK", "1")
    };
    if listing.folders.len() > 1 {
        run(&mtool("mmd").args(listing.folders.iter().skip(1).map(|(name, _)| name)))?;
    }
    for (name, files) in &listing.folders {
        if !files.is_empty() {
            // -m keeps times, -Q ends at the first error, -n and -o never ask.
            run(&mtool("mcopy").args(["-m", "-Q", "-n", "-o"]).args(files).arg(format!("{name}/")))?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Listing {
    /// Each folder's name on the filesystem with the files in it, parents first.
    folders: Vec<(String, Vec<PathBuf>)>,
}

impl Listing {
    fn collect(&mut self, folder: &Path, name: String) -> std::io::Result<()> {
        let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<std::io::Result<_>>()?;
        entries.sort_by_key(|entry| entry.file_name());
        let mut files = Vec::new();
        let mut folders = Vec::new();
        for entry in entries {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/{}", entry.file_name().to_string_lossy())));
            } else if kind.is_file() {
                files.push(entry.path());
            } else {
                // A link followed from here could lead to a file of the host.
                let name = format!("{name}/{}", entry.file_name().to_string_lossy());
                return Err(std::io::Error::other(format!(
                    "vfat knows neither links nor devices, but `{}` is one: make it a file",
                    name.trim_start_matches("::")
                )));
            }
        }
        self.folders.push((name, files));
        for (path, name) in folders {
            self.collect(&path, name)?;
        }
        Ok(())
    }
}
