//! Writes the object of a file or link under a temporary name, with its owner, mode and time.

use super::hash::{Attributes, ObjectKind};
use super::merge::MergedNode;
use super::object::{Object, ObjectError};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

pub(super) fn write_whole(
    directory: BorrowedFd,
    temporary: &str,
    object: &Object,
    content: &[u8],
) -> Result<(), ObjectError> {
    let write = || -> io::Result<()> {
        if object.attributes.kind != ObjectKind::Link {
            let mut file = new_file(directory, temporary)?;
            file.write_all(content)?;
            return finish_file(&file, object);
        }
        let Attributes { uid, gid, .. } = object.attributes;
        rustix::fs::symlinkat(OsStr::from_bytes(content), directory, temporary)?;
        let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(directory, temporary, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        rustix::fs::utimensat(directory, temporary, &times(object.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    };
    write().map_err(ObjectError::Write)
}

pub(super) fn write_stream(
    directory: BorrowedFd,
    temporary: &str,
    node: &MergedNode,
    object: &Object,
    data: &mut dyn Read,
) -> Result<(), ObjectError> {
    let mut file = new_file(directory, temporary).map_err(ObjectError::Write)?;
    object.stream(&node.hash, data, |bytes| file.write_all(bytes))?;
    finish_file(&file, object).map_err(ObjectError::Write)
}

fn new_file(directory: BorrowedFd, temporary: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, temporary, flags, Mode::from_raw_mode(0o600))?.into())
}

fn finish_file(file: &File, object: &Object) -> io::Result<()> {
    let Attributes { mode, uid, gid, .. } = object.attributes;
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    // After chown, which clears the setuid bit.
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
    rustix::fs::futimens(file, &times(object.mtime))?;
    Ok(())
}

pub(super) fn times(seconds: u64) -> Timestamps {
    let time = Timespec { tv_sec: seconds.min(i64::MAX as u64) as i64, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
