//! Errors of filling a filesystem.

use crate::disk::source::ReadError;
use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was written.
    #[error("the files need {need} bytes, but only {have} bytes fit into the filesystem")]
    Full { need: u64, have: u64 },
    /// Nothing was written.
    #[error("unsupported filesystem features: {0}; disable them with options of mkfs.xfs (-m, -i, -n, -r)")]
    Unsupported(String),
    /// Nothing was written.
    #[error("expected a newly made, empty XFS: {0}")]
    NotEmpty(String),
    /// A node that XFS cannot store. Nothing was written.
    #[error("XFS cannot store `{}`: {problem}", path.display())]
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
