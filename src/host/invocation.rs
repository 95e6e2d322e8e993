//! A command as a value: pure functions build one, [`run`](super::run) runs it.

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
    /// It gets a process group of its own, and what is left of that ends with it.
    pub own_group: bool,
    /// It is killed when we end, however we end.
    pub dies_with_us: bool,
    /// Bytes of its output that are kept: of more, the newest.
    pub most_output: usize,
    /// What it inherits besides the standard streams, and no other program.
    pub files: Vec<Inherited>,
}

/// An open file that a program inherits.
#[derive(Clone, Debug)]
pub struct Inherited {
    /// Its number there.
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

    /// Gives it a process group of its own; what is left of that ends with it.
    pub fn in_own_group(mut self) -> Invocation {
        self.own_group = true;
        self
    }

    /// Has it killed when we end, however we end: what works for minutes.
    pub fn dying_with_us(mut self) -> Invocation {
        self.dies_with_us = true;
        self
    }

    /// What a stranger says may have no end.
    pub fn keeping_at_most(mut self, bytes: usize) -> Invocation {
        self.most_output = bytes;
        self
    }

    /// Gives it an open file, under the number that the file has here.
    pub fn inheriting(mut self, file: &impl AsFd) -> Result<Invocation, Failure> {
        let file = file.as_fd();
        let number = file.as_raw_fd();
        if !self.files.iter().any(|inherited| inherited.number == number) {
            let context = || format!("could not hand a file to `{}`", self.program);
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
    /// As one could type it into a shell.
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
    fn it_is_shown_as_typed_into_a_shell() {
        let invocation = Invocation::new("mke2fs").args(["-L", "my root", "", "it's"]).arg("a.img");
        assert_eq!(invocation.to_string(), "mke2fs -L 'my root' '' 'it'\\''s' a.img");
    }
}
