//! The options of `build` that ister.py had and that only matter to those who come from there.

use super::console::Verbosity;
use super::log_file;
use super::run::VerbosityArgs;
use crate::host::{forget_file, remove_on_interrupt};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where ister.py logged.
const LOG: &str = "/var/log/ister.log";

#[derive(Args, Debug)]
#[command(next_help_heading = "As with ister.py")]
pub(super) struct CompatibilityArgs {
    /// Log everything, each line with its time, in this file [default, where
    /// the program is called as ister.py by root: /var/log/ister.log]
    #[arg(short = 'l', long, value_name = "FILE")]
    logfile: Option<PathBuf>,

    /// How much is said on stderr
    #[arg(short = 'L', long, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Info)]
    loglevel: LogLevel,

    /// Say what is done (as is done anyway)
    #[arg(short = 'v', long)]
    verbose: bool,

    /// The finished tree appears in this directory, which must be there and empty;
    /// hooks find it there
    #[arg(short = 'D', long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,

    /// Leave the finished tree for inspection, in the target directory or a new
    /// one, and say where
    #[arg(short = 'm', long)]
    pub no_unmount: bool,

    /// Keep the content nowhere but in the image: the cache is a directory beside it
    /// that vanishes
    #[arg(short = 'F', long, conflicts_with = "cache_dir")]
    pub fast_install: bool,

    #[arg(long, hide = true, value_enum)]
    pub as_ister_py: Option<Form>,
}

/// What ister.py's users type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Its options behind our name.
    Options,
    /// Its name too.
    Program,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogLevel {
    Debug,
    Info,
    Error,
}

impl CompatibilityArgs {
    /// Begins the log, and says how much is shown. `template`: what must not be written over.
    pub(super) fn verbosity(
        &self,
        verbosity: &VerbosityArgs,
        template: Option<&Path>,
    ) -> anyhow::Result<Verbosity> {
        let same = |log: &Path| {
            let known = |path: &Path| std::fs::canonicalize(path).ok();
            known(log).is_some_and(|log| template.and_then(known).as_deref() == Some(&log))
        };
        if let Some(log) = self.logfile.as_deref().filter(|log| same(log)) {
            bail!("the log `{}` is the template: choose another name with -l", log.display());
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

    /// The directory that the finished tree is left in. What was named must be there and empty: hooks find the tree there.
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
        let path = directory.context("could not make a directory for the tree")?.keep();
        remove_on_interrupt(&path);
        Ok(Some(PreservedTree { path, is_new: true }))
    }

    /// With `-F`: a cache for this build alone, beside the image. It goes when this is dropped, or with a signal; what a
    /// killed build left goes with the next one.
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

/// Whether nobody else has locked a directory; the lock lasts as long as the file is open.
fn is_locked_by_us(directory: &File) -> bool {
    flock(directory, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// A cache that nobody else uses.
pub(super) struct PrivateCache {
    directory: tempfile::TempDir,
    _lock: File,
}

impl PrivateCache {
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Where a tree is left. A directory that was made for it goes again if nothing came into it.
pub(super) struct PreservedTree {
    path: PathBuf,
    is_new: bool,
}

impl PreservedTree {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a tree was left: a build may fail before it has one.
    pub(super) fn is_there(&self) -> bool {
        std::fs::read_dir(&self.path).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// What is told when it is there.
    pub(super) fn message(&self) -> String {
        let mut message =
            format!("ister: the tree is in `{}`, which only you can enter", self.path.display());
        if !rustix::process::geteuid().is_root() {
            // Its files belong to ids that only a namespace knows.
            message.push_str("; remove it with: unshare --map-root-user --map-auto rm -rf DIRECTORY");
        }
        message
    }
}

impl Drop for PreservedTree {
    fn drop(&mut self) {
        forget_file(&self.path);
        if self.is_new {
            // Fails where there is a tree, as it should.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}
