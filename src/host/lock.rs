//! Locks by which processes know of each other, also on filesystems that other machines share.

use rustix::io::Errno;
use std::fs::{File, TryLockError};

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Ours, for as long as it is open.
    Ours,
    Theirs,
    /// Not every shared filesystem has locks.
    Unknown,
}

/// Waits until it is ours.
pub fn wait_for_lock(file: &File) -> std::io::Result<()> {
    file.lock()
}

/// Tries to lock a file, which has to be open for writing where filesystems are shared (NFS). Source: flock(2), "NFS details".
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
