//! Why running a program failed. Callers match on variants; the message is created last.

use super::catalog::package_of;
use super::{Failure, Invocation};
use std::io;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("required program `{program}` is not installed")]
    Missing { program: String },
    #[error("could not start `{program}`")]
    NotStarted { program: String, command: String, source: io::Error },
    #[error("could not wait for `{program}`")]
    NotWaitedFor { program: String, source: io::Error },
    /// Killed after its time limit.
    #[error("`{}` did not finish within {} s and was killed", run.program, limit.as_secs())]
    TimedOut { limit: Duration, run: ProgramRun },
    /// Killed by a signal from elsewhere, such as a user or the OOM killer.
    #[error("`{}` failed", run.program)]
    Signalled { signal: i32, run: ProgramRun },
    #[error("`{}` failed", run.program)]
    Exited { code: i32, run: ProgramRun },
}

/// A finished run.
#[derive(Debug)]
pub struct ProgramRun {
    pub program: String,
    /// The command line, truncated if it is very long.
    pub command: String,
    pub took: Duration,
    /// The last non-empty lines of stderr.
    pub last_lines: Vec<String>,
}

impl RunError {
    /// Returns the run if the program exited with a code other than 0.
    pub fn exited(&self) -> Option<&ProgramRun> {
        match self {
            RunError::Exited { run, .. } => Some(run),
            _ => None,
        }
    }

    /// Names another program as the one that was run, such as the program inside a sandbox.
    pub(super) fn of_program(mut self, invocation: &Invocation) -> RunError {
        if let RunError::TimedOut { run, .. }
        | RunError::Signalled { run, .. }
        | RunError::Exited { run, .. } = &mut self
        {
            run.program.clone_from(&invocation.program);
            run.command = invocation.to_string();
        }
        self
    }

    /// Whether the program was started.
    pub(crate) fn has_run(&self) -> bool {
        !matches!(
            self,
            RunError::Missing { .. } | RunError::NotStarted { .. } | RunError::NotWaitedFor { .. }
        )
    }

    /// Returns the last lines of stderr, for parsers of the program's messages.
    pub fn last_lines(&self) -> &[String] {
        match self {
            RunError::TimedOut { run, .. }
            | RunError::Signalled { run, .. }
            | RunError::Exited { run, .. } => &run.last_lines,
            RunError::Missing { .. } | RunError::NotStarted { .. } | RunError::NotWaitedFor { .. } => &[],
        }
    }

    /// Whether a line of stderr contains `words`.
    pub fn has_printed(&self, words: &str) -> bool {
        self.last_lines().iter().any(|line| line.contains(words))
    }

    /// Like [`Failure::context`].
    pub fn context(self, message: impl Into<String>) -> Failure {
        Failure::from(self).context(message)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        let failure = Failure::new(error.to_string());
        let (run, ending) = match error {
            RunError::Missing { program } => {
                return match package_of(&program) {
                    Some(package) => failure.help(format!(
                        "install the package `{package}` (`sudo apt-get install {package}`), or everything \
                         required with `ister doctor --install`"
                    )),
                    None => failure.help("install it, or correct PATH"),
                };
            }
            RunError::NotStarted { command, source, .. } => {
                return failure.detail(format!("ran: {command}")).detail(source.to_string());
            }
            RunError::NotWaitedFor { source, .. } => return failure.detail(source.to_string()),
            RunError::TimedOut { run, .. } => (run, "killed".to_owned()),
            RunError::Signalled { signal, run } => (run, format!("killed by signal {signal}")),
            RunError::Exited { code, run } => (run, format!("exit code {code}")),
        };
        let failure = failure.detail(format!(
            "ran: {}    ({ending} after {:.1} s)",
            run.command,
            run.took.as_secs_f64()
        ));
        run.last_lines.iter().fold(failure, |failure, line| failure.detail(format!("output: {line}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_reported_with_their_package() {
        let failure = Failure::from(RunError::Missing { program: "mcopy".into() });
        assert_eq!(failure.message, "required program `mcopy` is not installed");
        assert!(failure.help.unwrap().contains("`mtools`"));
    }

    #[test]
    fn failed_runs_are_described() {
        let run = ProgramRun {
            program: "sh".into(),
            command: "sh -c 'exit 4'".into(),
            took: Duration::from_millis(1240),
            last_lines: vec!["no".into()],
        };
        let error = RunError::Exited { code: 4, run };
        assert!(error.has_printed("no") && error.exited().is_some());
        let failure = Failure::from(error);
        assert_eq!(failure.details, ["ran: sh -c 'exit 4'    (exit code 4 after 1.2 s)", "output: no"]);
    }
}
