//! Checks in the guest, declared in YAML or JSON. Kinds, attributes and matchers have the names and the meaning of
//! goss, so that its files work. Source: goss, docs/gossfile.md.
//!
//! The guest runs a shell script that prints facts. Everything else is decided here: this module is pure, except for
//! [`http`].

mod definition;
mod facts;
pub(super) mod http;
mod matchers;

use super::session::Answer;
use crate::template::nearest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use definition::{Check, Kind};
use facts::Facts;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The checks of a boot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checks {
    checks: Vec<Check>,
    scripts: Vec<Script>,
}

/// A test script of the user. Exit status 0 is a pass, 77 a skip, everything else a failure.
#[derive(Clone, Debug, PartialEq)]
struct Script {
    name: String,
    text: Vec<u8>,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckResult {
    /// The kind and the name, such as `file /etc/passwd`.
    pub check: String,
    pub outcome: CheckOutcome,
    /// What differs, or the last lines of a script. Empty if the check passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CheckOutcome {
    Passed,
    Failed,
    Skipped,
}

/// What [`Checks::judge`] finds.
pub(super) struct Judged {
    pub results: Vec<CheckResult>,
    /// The result archives of scripts, by a file name for them.
    pub archives: Vec<(String, Vec<u8>)>,
}

/// Largest script, in bytes. ssh passes it to the guest as an argument, which may have 128 KiB.
const LARGEST_SCRIPT: usize = 64 << 10;
/// Longest value that a console transfers, and that ssh transfers.
const CONSOLE_LIMIT: usize = 64 << 10;
const SSH_LIMIT: usize = 1 << 20;
/// Time limit of a script in seconds.
const SCRIPT_SECONDS: u64 = 600;
/// Exit status of a skipped script, as in Automake.
const SKIP: &str = "77";
/// Lines of a script's output that are shown.
const MOST_SHOWN: usize = 20;

const FUNCTIONS: &str = include_str!("guest.sh");
/// Where the functions are in the guest.
const FUNCTIONS_FILE: &str = "/tmp/ister-checks.sh";
/// Length of the calls that ssh transfers at a time.
const BATCH: usize = 48 << 10;

impl Checks {
    /// Adds the checks of a file.
    ///
    /// # Errors
    /// The text is not YAML, or a check has an unknown kind, attribute or matcher.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let new = definition::parse(text)?;
        if new.is_empty() {
            return Err("there are no checks".to_owned());
        }
        self.checks.extend(new);
        Ok(())
    }

    /// Adds a script.
    ///
    /// # Errors
    /// The script is too large.
    pub fn add_script(&mut self, name: &str, text: Vec<u8>) -> Result<(), String> {
        if text.len() > LARGEST_SCRIPT {
            return Err(format!(
                "the script has {} bytes, at most {LARGEST_SCRIPT} are possible",
                text.len()
            ));
        }
        self.scripts.push(Script { name: name.to_owned(), text });
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.checks.is_empty() && self.scripts.is_empty()
    }

    /// The guest's TCP ports that `http` checks need on the host.
    pub(super) fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.http().map(|(_, _, request)| request.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// All `http` checks with their position.
    pub(super) fn http(&self) -> impl Iterator<Item = (usize, &Check, &http::Request)> {
        let indexed = self.checks.iter().enumerate().filter(|(_, check)| !check.skip);
        indexed.filter_map(|(index, check)| Some((index, check, check.request.as_ref()?)))
    }

    /// The commands that print the facts. A console can only record a limited number of lines of each command, and a
    /// connection over ssh takes seconds.
    pub(super) fn commands(&self, over_ssh: bool) -> Vec<String> {
        let limit = if over_ssh { SSH_LIMIT } else { CONSOLE_LIMIT };
        if self.is_empty() {
            return Vec::new();
        }
        // The login shell may be any. A file that another user has created is not used.
        let call = format!("sh {FUNCTIONS_FILE} {limit}");
        let mut commands = vec![format!(
            "rm -f {FUNCTIONS_FILE}; cat >{FUNCTIONS_FILE} <<'ISTER'\n{FUNCTIONS}ISTER\n{call} wait_for_system"
        )];
        let mut batch = String::new();
        for check in self.calls() {
            // A script has a time limit of its own.
            let is_full = batch.len() + check.len() > BATCH || check.contains("<<") || batch.contains("<<");
            if !batch.is_empty() && (is_full || !over_ssh) {
                commands.push(std::mem::take(&mut batch));
            }
            if !batch.is_empty() {
                batch.push('\n');
            }
            batch.push_str(&format!("{call} {check}"));
        }
        commands.extend((!batch.is_empty()).then_some(batch));
        commands
    }

    fn calls(&self) -> impl Iterator<Item = String> {
        let checks = self.checks.iter().enumerate().filter(|(_, check)| !check.skip);
        let checks = checks.filter_map(|(index, check)| check.call(index));
        let first = self.checks.len();
        let scripts = self.scripts.iter().enumerate().map(move |(index, script)| {
            let index = first + index;
            let mut call = format!("check_script {index} '' {SCRIPT_SECONDS} <<'END'\n");
            for line in STANDARD.encode(&script.text).as_bytes().chunks(76) {
                let _ = writeln!(call, "{}", String::from_utf8_lossy(line));
            }
            call + "END"
        });
        checks.chain(scripts)
    }

    /// Compares the facts with the checks. `responses` are those of `http` checks, by their position.
    pub(super) fn judge(
        &self,
        answers: &[Answer],
        responses: &[(usize, Result<http::Response, String>)],
    ) -> Judged {
        let facts = Facts::of(answers);
        let mut results: Vec<CheckResult> = self
            .checks
            .iter()
            .enumerate()
            .map(|(index, check)| {
                let problems = match check.kind {
                    _ if check.skip => return check.result(CheckOutcome::Skipped, Vec::new()),
                    Kind::Http => match responses.iter().find(|(position, _)| *position == index) {
                        Some((_, Ok(response))) => check.differences(|name| response.value(name)),
                        Some((_, Err(why))) => vec![why.clone()],
                        None => vec!["no request was sent".to_owned()],
                    },
                    _ => match facts.problem(index) {
                        Some(problem) => vec![problem],
                        None => check.differences(|name| facts.value(index, check, name)),
                    },
                };
                let outcome = if problems.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
                check.result(outcome, problems)
            })
            .collect();
        let mut archives = Vec::new();
        for (index, script) in self.scripts.iter().enumerate() {
            let index = self.checks.len() + index;
            results.push(script.result(&facts, index));
            if let Some(archive) = facts.bytes(index, "results") {
                archives.push((
                    format!("results-{}-{}.tar", index - self.checks.len(), script.file_name()),
                    archive,
                ));
            }
        }
        Judged { results, archives }
    }
}

impl Script {
    fn result(&self, facts: &Facts, index: usize) -> CheckResult {
        let status = facts.text(index, "exit-status");
        let problem = facts.problem(index);
        let outcome = match status.as_deref() {
            _ if problem.is_some() => CheckOutcome::Failed,
            Some("0") => CheckOutcome::Passed,
            Some(SKIP) => CheckOutcome::Skipped,
            _ => CheckOutcome::Failed,
        };
        let output = facts.text(index, "output").unwrap_or_default();
        let lines: Vec<&str> = output.lines().collect();
        let shown = lines[lines.len().saturating_sub(MOST_SHOWN)..].iter().map(|line| (*line).to_owned());
        let problems = match outcome {
            CheckOutcome::Passed => Vec::new(),
            CheckOutcome::Skipped => shown.collect(),
            CheckOutcome::Failed => {
                let what = problem
                    .or(status.map(|status| format!("exit status {status}")))
                    .unwrap_or_else(|| "it could not be started".to_owned());
                std::iter::once(what).chain(shown).collect()
            }
        };
        CheckResult { check: format!("script {}", self.name), outcome, problems }
    }

    fn file_name(&self) -> String {
        let name = self.name.rsplit('/').next().unwrap_or_default();
        name.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "-")
    }
}

/// "unknown …; did you mean …?"
fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(meant) => format!("unknown {what} `{name}`; did you mean `{meant}`?"),
        None => format!("unknown {what} `{name}`; known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests;
