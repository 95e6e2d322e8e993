//! Each filesystem's own judge, read-only.

use super::facts::Fsck;
use crate::disk::Kind;
use crate::host::{Failure, Invocation, RunError, inherited_name, run};
use std::fs::File;

/// SIGKILL: by a person, or by a kernel without memory. Source: signal(7).
const KILLED: i32 = 9;

/// Has a filesystem checked that fills the file, or lies `offset` bytes into it where its program can look there.
pub(super) fn fsck(kind: Kind, file: &File, offset: u64) -> Result<Fsck, Failure> {
    let path = inherited_name(file);
    let invocation = match kind {
        // `?offset=` is libext2fs' own way to name a place in a file.
        Kind::Ext => Invocation::new("e2fsck").args(["-f", "-n", &format!("{path}?offset={offset}")]),
        Kind::Vfat => Invocation::new("fsck.fat").args(["-n", &path]),
        Kind::Xfs => Invocation::new("xfs_repair").args(["-n", "-f", &path]),
        Kind::Btrfs => Invocation::new("btrfs").args(["check", "--readonly", "--force", &path]),
        Kind::Swap | Kind::Luks | Kind::Packed(_) | Kind::Other(_) => return Ok(Fsck::None),
    };
    match run(&invocation.inheriting(file)?) {
        Ok(finished) => {
            // e2fsck goes by the backup where the first copy is damaged, and may find nothing else.
            let said = String::from_utf8_lossy(&finished.stdout).into_owned() + &finished.stderr;
            let backup = said.lines().find(|line| line.contains("trying backup"));
            Ok(backup.map_or(Fsck::Clean, |line| Fsck::Damaged(vec![line.to_owned()])))
        }
        // It ran, and says what is wrong.
        Err(RunError::Exited { run, .. }) => Ok(Fsck::Damaged(run.last_lines)),
        // Some kinds of damage crash it. SIGKILL comes from outside, whatever the filesystem holds.
        Err(RunError::Signalled { signal, run }) if signal != KILLED => {
            let ending = format!("`{}` was ended by signal {signal}", run.program);
            Ok(Fsck::Damaged(std::iter::once(ending).chain(run.last_lines).collect()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the program can look at a place inside a larger file.
pub(super) fn knows_offset(kind: Kind) -> bool {
    kind == Kind::Ext
}
