//! Runtime errors. There is a single type for all of them, because errors inside the build namespace must cross a
//! process boundary unchanged.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Where the cause has to be fixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blame {
    /// The host: another attempt or another host may succeed. Exit code 3.
    #[default]
    Host,
    /// The template: the request cannot succeed on any host, for example because a hook fails or a package does not
    /// exist. Exit code 1.
    Template,
}

/// The part of the template that a failure refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    Partition {
        disk: String,
        partition: u32,
        what: Part,
    },
    /// Package names as passed to the package manager.
    Packages(Vec<String>),
    Release,
}

/// Kinds of failures that callers handle differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    #[default]
    Other,
    /// A disk of the host is full.
    StorageFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    Size,
    Filesystem,
}

/// A runtime error with details and help.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failed, with its values; a lowercase fragment.
    pub message: String,
    /// Supporting lines: the command, its output, the underlying cause.
    pub details: Vec<String>,
    /// What the user can do about it.
    pub help: Option<String>,
    /// The part of the template it refers to, so that its location can be shown.
    pub about: Option<Box<About>>,
    pub blame: Blame,
    #[serde(default)]
    pub kind: FailureKind,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            details: Vec::new(),
            help: None,
            about: None,
            blame: Blame::Host,
            kind: FailureKind::Other,
        }
    }

    /// Marks the failure as an error of the template.
    pub fn of_template(mut self) -> Failure {
        self.blame = Blame::Template;
        self
    }

    pub fn about(mut self, disk: &str, partition: u32, what: Part) -> Failure {
        self.about = Some(Box::new(About::Partition { disk: disk.to_owned(), partition, what }));
        self
    }

    pub fn about_packages(mut self, packages: Vec<String>) -> Failure {
        self.about = Some(Box::new(About::Packages(packages)));
        self
    }

    pub fn about_release(mut self) -> Failure {
        self.about = Some(Box::new(About::Release));
        self
    }

    pub fn detail(mut self, line: impl Into<String>) -> Failure {
        self.details.push(line.into());
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Failure {
        self.help = Some(text.into());
        self
    }

    /// Adds an error and each of its causes as separate details.
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Failure {
        self.details.extend(links(error));
        let causes = std::iter::successors(Some(error), |error| error.source());
        let mut system = causes.filter_map(|error| error.downcast_ref::<std::io::Error>());
        if system.any(|error| error.kind() == std::io::ErrorKind::StorageFull) {
            self.kind = FailureKind::StorageFull;
        }
        self
    }

    /// Prepends a message; the previous message becomes the first detail.
    pub fn context(mut self, message: impl Into<String>) -> Failure {
        let inner = std::mem::replace(&mut self.message, message.into());
        self.details.insert(0, inner);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.message))?;
        for detail in &self.details {
            for line in detail.lines() {
                write!(f, "\n  {}", visible(line))?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {}", visible(help))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Escapes control characters that could affect the terminal: names and messages may come from untrusted sources.
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Returns an error and its causes on one line.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    links(error).collect::<Vec<_>>().join(": ")
}

fn links(error: &(dyn std::error::Error + 'static)) -> impl Iterator<Item = String> {
    std::iter::successors(Some(error), |error| error.source())
        .map(|error| error.downcast_ref::<std::io::Error>().map_or_else(|| error.to_string(), plain))
}

/// An operating system error in the words of strerror(3), without Rust's ` (os error 2)`.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let number = error.raw_os_error().map(|number| format!(" (os error {number})"));
    match number.and_then(|number| text.strip_suffix(&number)) {
        Some(words) => words.to_owned(),
        None => text,
    }
}

/// Adds a message to an operating system error.
pub trait Context<T> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<std::io::Error>> Context<T> for Result<T, E> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| {
            let error: std::io::Error = error.into();
            let failure = Failure::new(message()).caused_by(&error);
            match error.kind() {
                std::io::ErrorKind::StorageFull => {
                    failure.help("free some space, or select another directory")
                }
                std::io::ErrorKind::PermissionDenied => {
                    failure.help("check the owner and the mode of this path and of its parent directories")
                }
                // A limit of the image format, the same on any host. Limits of the host have an error number.
                std::io::ErrorKind::FileTooLarge if error.raw_os_error().is_none() => {
                    failure.of_template().help("make it smaller, or leave it out for this format")
                }
                _ => failure,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_detected_in_any_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not write")]
        struct Outer(#[source] std::io::Error);
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(Failure::new("a").caused_by(&Outer(full())).kind, FailureKind::StorageFull);
        let failed: Result<(), Failure> = Err(full()).context(|| "b".to_owned());
        assert_eq!(failed.unwrap_err().kind, FailureKind::StorageFull);
        assert_eq!(Failure::new("c").kind, FailureKind::Other);
    }

    #[test]
    fn control_characters_are_escaped() {
        let failure = Failure::new("a\x1b[2Jb").detail("c\rd\te").help("\u{9b}1A");
        assert_eq!(failure.to_string(), "a\\u{1b}[2Jb\n  c\\rd\te\n  help: \\u{9b}1A");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("could not write at byte 7")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn all_causes_are_shown() {
        let full = std::io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let outer = Outer(full);
        let line = "could not write at byte 7: No space left on device";
        assert_eq!(with_causes(&outer), line);
        let failure = Failure::new("could not write the image").caused_by(&outer);
        assert_eq!(
            failure.to_string(),
            "could not write the image\n  could not write at byte 7\n  No space left on device"
        );
    }
}
