//! What went wrong in the world: one type for every effect, because a failure inside the build's namespace has
//! to cross a process boundary and still read the same.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The host could not do it: what was tried, on what, what was said, what to do next. Exit code 3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What could not be done, with its values; a lowercase fragment.
    pub message: String,
    /// Lines that prove it: the command, what it said, the cause below.
    pub details: Vec<String>,
    /// What to do next.
    pub help: Option<String>,
    /// The disk and the partition that it is about: whoever has the template can say where they stand.
    pub about: Option<(String, u32)>,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), details: Vec::new(), help: None, about: None }
    }

    pub fn about(mut self, disk: &str, partition: u32) -> Failure {
        self.about = Some((disk.to_owned(), partition));
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

    /// Puts what was being done in front; the former message becomes the first detail.
    pub fn context(mut self, message: impl Into<String>) -> Failure {
        let inner = std::mem::replace(&mut self.message, message.into());
        self.details.insert(0, inner);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for detail in &self.details {
            for line in detail.lines() {
                write!(f, "\n  {line}")?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Gives an error of the operating system its place: what was tried, on what.
pub trait Context<T> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<std::io::Error>> Context<T> for Result<T, E> {
    fn context(self, message: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| {
            let error: std::io::Error = error.into();
            let failure = Failure::new(message()).detail(error.to_string());
            match error.kind() {
                std::io::ErrorKind::StorageFull => {
                    failure.help("free some space, or choose another folder with -o")
                }
                std::io::ErrorKind::PermissionDenied => {
                    failure.help("check the owner and the mode of this path and of the folders above it")
                }
                _ => failure,
            }
        })
    }
}
