//! Runs the fsck program of each filesystem type, read-only.

use super::facts::Fsck;
use crate::disk::VolumeKind;
use crate::host::{Failure, Invocation, Jail, RunError, inherited_name, run_jailed};
use std::fs::File;

/// SIGKILL, sent by a user or by the kernel when memory runs out. Source: signal(7).
const KILLED: i32 = 9;

/// Checks a filesystem that fills the file. If the program supports it, the filesystem may also start at `offset` bytes.
pub(super) fn fsck(kind: VolumeKind, file: &File, offset: u64) -> Result<Fsck, Failure> {
    let path = inherited_name(file);
    let invocation = match kind {
        // `?offset=` is the syntax of libext2fs for an offset in a file.
        VolumeKind::Ext => Invocation::new("e2fsck").args(["-f", "-n", &format!("{path}?offset={offset}")]),
        VolumeKind::Vfat => Invocation::new("fsck.fat").args(["-n", &path]),
        VolumeKind::Xfs => Invocation::new("xfs_repair").args(["-n", "-f", &path]),
        VolumeKind::Btrfs => Invocation::new("btrfs").args(["check", "--readonly", "--force", &path]),
        VolumeKind::Swap | VolumeKind::Luks | VolumeKind::Packed(_) | VolumeKind::Other(_) => {
            return Ok(Fsck::None);
        }
    };
    match run_jailed(&invocation.inheriting(file)?, Jail::Nothing) {
        Ok(finished) => {
            // If the primary superblock is damaged, e2fsck uses the backup and may report no other error.
            let output = String::from_utf8_lossy(&finished.stdout).into_owned() + &finished.stderr;
            let backup = output.lines().find(|line| line.contains("trying backup"));
            Ok(backup.map_or(Fsck::Clean, |line| Fsck::Damaged(vec![line.to_owned()])))
        }
        // fsck ran and reported errors.
        Err(RunError::Exited { run, .. }) => Ok(Fsck::Damaged(run.last_lines)),
        // Some kinds of damage make fsck crash. SIGKILL does not depend on the filesystem.
        Err(RunError::Signalled { signal, run }) if signal != KILLED => {
            let ending = format!("`{}` was terminated by signal {signal}", run.program);
            Ok(Fsck::Damaged(std::iter::once(ending).chain(run.last_lines).collect()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the fsck program can check a filesystem at an offset in a file.
pub(super) fn supports_offset(kind: VolumeKind) -> bool {
    kind == VolumeKind::Ext
}
