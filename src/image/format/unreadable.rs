//! Errors of opening a published file: whether the file is damaged or the host failed.

use crate::host::{Failure, RunError};

pub(super) enum Unreadable {
    /// The file is damaged and cannot be used on any host.
    Damaged(Failure),
    Host(Failure),
}

/// Errors of the C library that are not caused by the image, and qemu-img's message if another program locks the
/// file.
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

/// Converts the error of a program that reads the file.
impl From<RunError> for Unreadable {
    fn from(error: RunError) -> Unreadable {
        // A file that keeps its reader busy is damaged: the limits are far above what a valid one takes.
        if matches!(error, RunError::TimedOut { .. }) {
            return Unreadable::Damaged(error.into());
        }
        let Some(run) = error.exited() else { return Unreadable::Host(error.into()) };
        let printed = run.last_lines.join("\n");
        Unreadable::by_stderr(error.into(), &printed)
    }
}

impl Unreadable {
    /// Classifies the error of a program that exited with a failure by its messages on stderr.
    pub(super) fn by_stderr(failure: Failure, printed: &str) -> Unreadable {
        match OF_HOST.iter().any(|words| printed.contains(words)) {
            true => Unreadable::Host(failure),
            false => Unreadable::Damaged(failure),
        }
    }

    pub(super) fn failure(self) -> Failure {
        match self {
            // The image is at fault on any host.
            Unreadable::Damaged(failure) => failure.of_template(),
            Unreadable::Host(failure) => failure,
        }
    }

    pub(super) fn context(self, text: impl Into<String>) -> Unreadable {
        match self {
            Unreadable::Damaged(failure) => Unreadable::Damaged(failure.context(text)),
            Unreadable::Host(failure) => Unreadable::Host(failure.context(text)),
        }
    }
}
