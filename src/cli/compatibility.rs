//! Options of `build` for compatibility with ister.py.

use super::console::Verbosity;
use super::log_file;
use super::run::VerbosityArgs;
use crate::host::{remove_on_interrupt, unregister_file};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The log file of ister.py.
const LOG: &str = "/var/log/ister.log";

#[derive(Args, Debug)]
#[command(next_help_heading = "Compatibility with ister.py")]
pub(super) struct CompatibilityArgs {
    /// Write a log with timestamps to this file [default if root runs the program
    /// as ister.py: /var/log/ister.log]
    #[arg(short = 'l', long, value_name = "FILE")]
    logfile: Option<PathBuf>,

    /// Verbosity on stderr
    #[arg(short = 'L', long, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Info)]
    loglevel: LogLevel,

    /// Show progress (the default)
    #[arg(short = 'v', long)]
    verbose: bool,

    /// Existing, empty directory where the finished root tree is visible, also to
    /// hooks
    #[arg(short = 'D', long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,

    /// Keep the finished root tree for inspection, in the target directory or a
    /// new directory, and print its path
    #[arg(short = 'm', long)]
    pub no_unmount: bool,

    /// Do not cache the content: use a temporary cache next to the image
    #[arg(short = 'F', long, conflicts_with = "cache_dir")]
    pub fast_install: bool,

    #[arg(long, hide = true, value_enum)]
    pub as_ister_py: Option<Form>,
}

/// How ister.py's command line is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Its options, with the program name `ister`.
    Options,
    /// Its options and its program name.
    Program,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Debug,
    Info,
    Error,
}

impl CompatibilityArgs {
    /// Opens the log file and returns the verbosity. `template` is a file that the log must not overwrite.
    pub(super) fn verbosity(
        &self,
        verbosity: &VerbosityArgs,
        template: Option<&Path>,
    ) -> anyhow::Result<Verbosity> {
        let same = |log: &Path| {
            let real = |path: &Path| std::fs::canonicalize(path).ok();
            real(log).is_some_and(|log| template.and_then(real).as_deref() == Some(&log))
        };
        if let Some(log) = self.logfile.as_deref().filter(|log| same(log)) {
            bail!("the log file `{}` is the template; use another path with -l", log.display());
        }
        let root = rustix::process::geteuid().is_root();
        let usual = (root && self.as_ister_py == Some(Form::Program)).then_some(Path::new(LOG));
        let debug = self.loglevel == LogLevel::Debug;
        log_file::begin(self.logfile.as_deref().or(usual), debug)?;
        Ok(match self.loglevel {
            LogLevel::Debug => Verbosity::Debug,
            LogLevel::Info if self.verbose => Verbosity::Normal,
            LogLevel::Info => verbosity.verbosity(),
            LogLevel::Error => Verbosity::Quiet,
        })
    }

    /// The directory that the finished tree is kept in. A target directory must exist and be empty.
    pub(super) fn keep_in(&self) -> anyhow::Result<Option<PreservedTree>> {
        if let Some(directory) = &self.target_dir {
            let context = || format!("the target directory `{}` cannot be used", directory.display());
            if std::fs::read_dir(directory).with_context(context)?.next().is_some() {
                bail!("the target directory `{}` is not empty", directory.display());
            }
            rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).with_context(context)?;
        }
        if !self.no_unmount {
            return Ok(None);
        }
        if let Some(directory) = &self.target_dir {
            return Ok(Some(PreservedTree { path: directory.clone(), is_new: false }));
        }
        let directory = tempfile::Builder::new().prefix("ister-tree-").tempdir();
        let path = directory.context("could not create a directory for the tree")?.keep();
        remove_on_interrupt(&path);
        Ok(Some(PreservedTree { path, is_new: true }))
    }

    /// With `-F`: a temporary cache next to the image. It is removed on drop or by a signal handler; the next build
    /// removes leftover caches of killed builds.
    pub(super) fn private_cache(&self, output: &Path) -> anyhow::Result<Option<PrivateCache>> {
        const PREFIX: &str = ".ister-content-";
        if !self.fast_install {
            return Ok(None);
        }
        let context = || format!("could not create a directory in `{}`", output.display());
        std::fs::create_dir_all(output).with_context(context)?;
        for entry in std::fs::read_dir(output).with_context(context)?.flatten() {
            let left = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if left && File::open(entry.path()).is_ok_and(|directory| is_locked_by_us(&directory)) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(output).with_context(context)?;
        let lock = File::open(directory.path()).with_context(context)?;
        is_locked_by_us(&lock);
        remove_on_interrupt(directory.path());
        Ok(Some(PrivateCache { directory, _lock: lock }))
    }
}

/// Tries to lock a directory; the lock is held as long as the file is open.
fn is_locked_by_us(directory: &File) -> bool {
    flock(directory, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// A temporary cache for one build.
pub(super) struct PrivateCache {
    directory: tempfile::TempDir,
    _lock: File,
}

impl PrivateCache {
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The directory that a tree is kept in. If it was created for the tree and is empty, it is removed on drop.
pub(super) struct PreservedTree {
    path: PathBuf,
    is_new: bool,
}

impl PreservedTree {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is a tree: the build may have failed before creating it.
    pub(super) fn is_there(&self) -> bool {
        std::fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// The message that tells the user where the tree is.
    pub(super) fn message(&self) -> String {
        let mut message =
            format!("ister: the root tree is in `{}`, which is accessible only to you", self.path.display());
        if !rustix::process::geteuid().is_root() {
            // Its files belong to subordinate IDs, so a plain `rm` fails.
            message.push_str("; remove it with: unshare --map-root-user --map-auto rm -rf DIRECTORY");
        }
        message
    }
}

impl Drop for PreservedTree {
    fn drop(&mut self) {
        unregister_file(&self.path);
        if self.is_new {
            // Fails, as intended, if the directory is not empty.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}
