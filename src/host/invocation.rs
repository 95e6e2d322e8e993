//! A command line as a value. Pure functions create it, [`run`](super::run) runs it.

use super::failure::{Context, Failure};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Invocation {
    pub program: String,
    pub args: Vec<OsString>,
    pub env: Vec<(String, OsString)>,
    pub directory: Option<PathBuf>,
    /// Whether it runs in its own process group, which is killed when it ends.
    pub own_group: bool,
    /// Whether it is killed when this process ends for any reason.
    pub dies_with_us: bool,
    /// Maximum size of its output in bytes; only the last bytes are kept.
    pub most_output: usize,
    /// Files that it inherits in addition to the standard streams. No other program inherits them.
    pub files: Vec<Inherited>,
}

/// An open file that a program inherits.
#[derive(Clone, Debug)]
pub struct Inherited {
    /// File descriptor number in the program.
    pub number: RawFd,
    pub file: Arc<OwnedFd>,
}

impl Invocation {
    pub fn new(program: impl Into<String>) -> Invocation {
        Invocation {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            own_group: false,
            dies_with_us: false,
            most_output: usize::MAX,
            files: Vec::new(),
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Invocation {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Invocation {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl Into<String>, value: impl AsRef<OsStr>) -> Invocation {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs it in its own process group, which is killed when it ends.
    pub fn in_own_group(mut self) -> Invocation {
        self.own_group = true;
        self
    }

    /// Kills it when this process ends for any reason. For long-running programs.
    pub fn kill_on_exit(mut self) -> Invocation {
        self.dies_with_us = true;
        self
    }

    /// Limits the size of its output, which may be unbounded for untrusted input.
    pub fn output_limit(mut self, bytes: usize) -> Invocation {
        self.most_output = bytes;
        self
    }

    /// Passes an open file to it, with the same file descriptor number.
    pub fn inheriting(mut self, file: &impl AsFd) -> Result<Invocation, Failure> {
        let file = file.as_fd();
        let number = file.as_raw_fd();
        if !self.files.iter().any(|inherited| inherited.number == number) {
            let context = || format!("could not pass a file to `{}`", self.program);
            let file = Arc::new(file.try_clone_to_owned().context(context)?);
            self.files.push(Inherited { number, file });
        }
        Ok(self)
    }

    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Invocation {
        self.directory = Some(directory.into());
        self
    }
}

impl fmt::Display for Invocation {
    /// Formats the command as typed in a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        for arg in &self.args {
            let arg = arg.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+:,./@%^{}".contains(c);
            if !arg.is_empty() && arg.chars().all(plain) {
                write!(f, " {arg}")?;
            } else {
                write!(f, " '{}'", arg.replace('\'', "'\\''"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_as_a_shell_command() {
        let invocation = Invocation::new("mke2fs").args(["-L", "my root", "", "it's"]).arg("a.img");
        assert_eq!(invocation.to_string(), "mke2fs -L 'my root' '' 'it'\\''s' a.img");
    }
}
