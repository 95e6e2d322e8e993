//! Unnamed files: how child processes open inherited files, and how unnamed files are linked to a name.

use rustix::fs::{AtFlags, CWD};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::{Path, PathBuf};

/// Returns the path under which a child process opens an inherited file:
/// [`Invocation::inheriting`](super::Invocation::inheriting) keeps the number of the file descriptor. Every open has
/// its own position. Source: proc_pid_fd(5).
pub fn inherited_name(file: &impl AsFd) -> String {
    name_of(file.as_fd().as_raw_fd())
}

/// Returns the path of a file descriptor of the current process.
pub fn name_of(number: RawFd) -> String {
    format!("/proc/self/fd/{number}")
}

/// Returns the directory for unnamed files. An unpacked image may be larger than a tmpfs at /tmp. Source:
/// file-hierarchy(7).
pub fn scratch_directory() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

/// Links an unnamed file to a path without copying it. Source: open(2), `O_TMPFILE`.
pub(super) fn link(file: &File, path: &Path) -> io::Result<()> {
    rustix::fs::linkat(CWD, name_of(file.as_raw_fd()), CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}
