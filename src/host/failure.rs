//! What went wrong in the world: one type for every effect, because a failure inside the build's namespace has
//! to cross a process boundary and still read the same.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Who has to change something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blame {
    /// The host could not do it: another time, or another host, may. Exit code 3.
    #[default]
    Host,
    /// What was asked for cannot be done anywhere: a hook fails, a package does not exist. Exit code 1.
    Template,
}

/// What of the template would have to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    Partition {
        disk: String,
        partition: u32,
        what: Part,
    },
    /// As the package manager was asked for them.
    Packages(Vec<String>),
    Release,
}

/// What a caller may decide by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    #[default]
    Other,
    /// A disk of this host is full.
    StorageFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    Size,
    Filesystem,
}

/// It could not be done: what was tried, on what, what was said, what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What could not be done, with its values; a lowercase fragment.
    pub message: String,
    /// Lines that prove it: the command, what it said, the cause below.
    pub details: Vec<String>,
    /// What to do next.
    pub help: Option<String>,
    /// What it is about: whoever has the template can say where that stands.
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

    /// The host is not to blame.
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

    /// What an error says, and each cause below it, in a line of its own.
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Failure {
        self.details.extend(links(error));
        let causes = std::iter::successors(Some(error), |error| error.source());
        let mut system = causes.filter_map(|error| error.downcast_ref::<std::io::Error>());
        if system.any(|error| error.kind() == std::io::ErrorKind::StorageFull) {
            self.kind = FailureKind::StorageFull;
        }
        self
    }

    /// Puts what was being done in front; the former message becomes the first detail.
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

/// Without what moves a terminal's cursor or gives it orders: names and messages may be those of a stranger.
pub fn visible(text: &str) -> Cow<'_, str> {
    let is_order = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_order) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_order(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// What an error says, and each cause below it, for where there is room for one line only.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    links(error).collect::<Vec<_>>().join(": ")
}

fn links(error: &dyn std::error::Error) -> impl Iterator<Item = String> {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string)
}

/// Gives an error of the operating system its place: what was tried, on what.
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
                    failure.help("free some space, or choose another directory")
                }
                std::io::ErrorKind::PermissionDenied => {
                    failure.help("check the owner and the mode of this path and of the directories above it")
                }
                // A format's limit, on any host. The host's own comes with a number.
                std::io::ErrorKind::FileTooLarge if error.raw_os_error().is_none() => {
                    failure.of_template().help("leave it out of this format, or make it smaller")
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
    fn a_full_disk_is_known_however_deep_it_lies() {
        #[derive(Debug, thiserror::Error)]
        #[error("could not write")]
        struct Outer(#[source] std::io::Error);
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        assert_eq!(Failure::new("a").caused_by(&Outer(full())).kind, FailureKind::StorageFull);
        let told: Result<(), Failure> = Err(full()).context(|| "b".to_owned());
        assert_eq!(told.unwrap_err().kind, FailureKind::StorageFull);
        assert_eq!(Failure::new("c").kind, FailureKind::Other);
    }

    #[test]
    fn a_strangers_words_give_a_terminal_no_orders() {
        let failure = Failure::new("a\x1b[2Jb").detail("c\rd\te").help("\u{9b}1A");
        assert_eq!(failure.to_string(), "a\\u{1b}[2Jb\n  c\\rd\te\n  help: \\u{9b}1A");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("could not write at byte 7")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_are_told_to_the_last() {
        let full = std::io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error());
        let outer = Outer(full);
        let line = "could not write at byte 7: No space left on device (os error 28)";
        assert_eq!(with_causes(&outer), line);
        let failure = Failure::new("could not fill it").caused_by(&outer);
        assert_eq!(
            failure.to_string(),
            "could not fill it\n  could not write at byte 7\n  No space left on device (os error 28)"
        );
    }
}
