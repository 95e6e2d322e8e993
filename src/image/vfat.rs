//! Files in a vfat filesystem, by mtools.

use crate::tool::{Context, Failure, Invocation, run};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Copies what a folder holds, in the order of names, into the vfat filesystem in the file `device`.
/// What has the same name there is replaced; `is_there` knows the folders that there are already, by absolute path. No
/// time is later than `epoch`.
pub fn add(folder: &Path, device: &str, is_there: &dyn Fn(&str) -> bool, epoch: u64) -> Result<(), Failure> {
    let mut listing = Listing { folders: Vec::new(), epoch };
    listing.collect(folder, "::".to_owned())?;
    let mtool = |program: &str| {
        Invocation::new(program)
            .args(["-i", device])
            .env("SOURCE_DATE_EPOCH", epoch.to_string())
            .env("TZ", "UTC")
            // The filesystem is mkfs.vfat's: mtools' own ideas of geometry do not matter.
            .env("MTOOLS_SKIP_CHECK", "1")
    };
    let new: Vec<&String> = listing
        .folders
        .iter()
        .map(|(name, _)| name)
        .skip(1)
        .filter(|name| !is_there(name.trim_start_matches("::")))
        .collect();
    if !new.is_empty() {
        run(&mtool("mmd").args(new))?;
    }
    for (name, files) in &listing.folders {
        if !files.is_empty() {
            // -m keeps times, -Q ends at the first error, -n and -o never ask.
            run(&mtool("mcopy").args(["-m", "-Q", "-n", "-o"]).args(files).arg(format!("{name}/")))?;
        }
    }
    Ok(())
}

struct Listing {
    /// Each folder's name on the filesystem with the files in it, parents first.
    folders: Vec<(String, Vec<PathBuf>)>,
    epoch: u64,
}

impl Listing {
    fn collect(&mut self, folder: &Path, name: String) -> Result<(), Failure> {
        let context = || format!("could not read `{}`", folder.display());
        let entries = std::fs::read_dir(folder).context(context)?;
        let mut entries: Vec<_> = entries.collect::<std::io::Result<_>>().context(context)?;
        entries.sort_by_key(|entry| entry.file_name());
        let mut files = Vec::new();
        let mut folders = Vec::new();
        for entry in entries {
            let kind = entry.file_type().context(context)?;
            if kind.is_dir() {
                folders.push((entry.path(), format!("{name}/{}", entry.file_name().to_string_lossy())));
            } else if kind.is_file() {
                let metadata = entry.metadata().context(context)?;
                settle(&entry.path(), &metadata, self.epoch).context(context)?;
                files.push(entry.path());
            } else {
                // A link followed from here could lead to a file of the host.
                let name = format!("{name}/{}", entry.file_name().to_string_lossy());
                return Err(Failure::new(format!(
                    "vfat knows neither links nor devices, but `{}` is one",
                    name.trim_start_matches("::")
                ))
                .of_template()
                .help("make it a file, or put it into another filesystem"));
            }
        }
        self.folders.push((name, files));
        for (path, name) in folders {
            self.collect(&path, name)?;
        }
        Ok(())
    }
}

/// mcopy takes the file's own time, which may be this build's.
fn settle(path: &Path, metadata: &Metadata, epoch: u64) -> std::io::Result<()> {
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    if metadata.mtime() <= epoch {
        return Ok(());
    }
    let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
