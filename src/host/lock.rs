//! File locks between processes, also on shared filesystems.

use rustix::io::Errno;
use std::fs::{File, TryLockError};

/// State of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Held by this process as long as the file is open.
    Ours,
    Theirs,
    /// Not supported by the filesystem.
    Unknown,
}

/// Waits for the lock.
pub fn wait_for_lock(file: &File) -> std::io::Result<()> {
    file.lock()
}

/// Tries to lock a file, which must be open for writing on shared filesystems (NFS). Source: flock(2), "NFS details".
pub fn try_lock(file: &File) -> std::io::Result<Lock> {
    match file.try_lock() {
        Ok(()) => Ok(Lock::Ours),
        Err(TryLockError::WouldBlock) => Ok(Lock::Theirs),
        Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
            Some(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::BADF) => Ok(Lock::Unknown),
            _ => Err(error),
        },
    }
}
