//! Files without names: how programs that inherit them open them, and how they get a name after all.

use rustix::fs::{AtFlags, CWD};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

/// What a program that inherits a file calls it: [`Invocation::inheriting`](super::Invocation::inheriting) gives it the file under
/// the same number. Each opening has a position of its own. Source: proc_pid_fd(5).
pub fn inherited_name(file: &impl AsFd) -> String {
    name_of(file.as_fd().as_raw_fd())
}

/// What a process calls the file behind its number.
pub fn name_of(number: RawFd) -> String {
    format!("/proc/self/fd/{number}")
}

/// Where unnamed files go: what an image unpacks to may be larger than a memory filesystem at /tmp. Source: file-hierarchy(7).
pub fn scratch_directory() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

/// Gives a file its first name; nothing is copied. Source: open(2), `O_TMPFILE`.
pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
    rustix::fs::linkat(CWD, name_of(file.as_raw_fd()), CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}
