//! Why a published file cannot be looked into: whether it is the file's fault or this host's.

use crate::host::{Failure, RunError};

pub(super) enum Unreadable {
    /// Whoever downloads the file cannot unpack it either.
    Damaged(Failure),
    Host(Failure),
}

/// What the C library calls faults that are no image's, and qemu-img's words where another program holds the file.
const OF_HOST: &[&str] = &[
    "No space left",
    "Cannot allocate memory",
    "Permission denied",
    "Too many open files",
    "Input/output error",
    "get \"", // Failed to get "write" lock
];

impl From<Failure> for Unreadable {
    fn from(failure: Failure) -> Unreadable {
        Unreadable::Host(failure)
    }
}

/// What a program that was to read it came to.
impl From<RunError> for Unreadable {
    fn from(error: RunError) -> Unreadable {
        let Some(run) = error.exited() else { return Unreadable::Host(error.into()) };
        let printed = run.last_lines.join("\n");
        Unreadable::by_stderr(error.into(), &printed)
    }
}

impl Unreadable {
    /// Of a program that exited by itself, by what it printed on stderr.
    pub(super) fn by_stderr(failure: Failure, printed: &str) -> Unreadable {
        match OF_HOST.iter().any(|words| printed.contains(words)) {
            true => Unreadable::Host(failure),
            false => Unreadable::Damaged(failure),
        }
    }

    pub(super) fn failure(self) -> Failure {
        match self {
            Unreadable::Damaged(failure) | Unreadable::Host(failure) => failure,
        }
    }

    pub(super) fn context(self, text: impl Into<String>) -> Unreadable {
        match self {
            Unreadable::Damaged(failure) => Unreadable::Damaged(failure.context(text)),
            Unreadable::Host(failure) => Unreadable::Host(failure.context(text)),
        }
    }
}
