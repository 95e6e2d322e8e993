//! Why a filesystem could not be filled.

use crate::disk::source::ReadError;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was written.
    #[error("the files need {need} bytes, but the filesystem has place for {have}")]
    Full { need: u64, have: u64 },
    /// Nothing was written.
    #[error("the filesystem has what cannot be written here: {0}; make it without (mkfs.xfs -m, -i, -n, -r)")]
    Unsupported(String),
    /// Nothing was written.
    #[error("the filesystem is not as mkfs.xfs makes it: {0}")]
    NotEmpty(String),
    /// What XFS cannot keep. Nothing was written.
    #[error("`{}` cannot be kept in XFS: {problem}", path.display())]
    Node { path: PathBuf, problem: String },
    #[error("could not read the filesystem that mkfs.xfs made")]
    Read(#[from] ReadError),
    #[error("could not read `{}`", path.display())]
    Host {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("could not write at byte {at} of the filesystem")]
    Image {
        at: u64,
        #[source]
        error: io::Error,
    },
}
