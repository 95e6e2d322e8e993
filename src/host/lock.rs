//! Locks by which processes know of each other, also on filesystems that other machines share.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::File;

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Ours, for as long as it is open.
    Ours,
    Theirs,
    /// Not every shared filesystem knows locks.
    Unknown,
}

/// Waits until it is ours.
pub fn wait_for_lock(file: &File) -> std::io::Result<()> {
    Ok(flock(file, FlockOperation::LockExclusive)?)
}

/// Tries to lock a file, which has to be open for writing where filesystems are shared (NFS). Source: flock(2), "NFS details".
pub fn try_lock(file: &File) -> std::io::Result<Lock> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock::Ours),
        Err(Errno::WOULDBLOCK) => Ok(Lock::Theirs),
        Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::BADF) => Ok(Lock::Unknown),
        Err(error) => Err(error.into()),
    }
}
