//! Runs commands in the guest over ssh, with a user's key.

use super::session::{Answer, COMMAND, SessionError};
use crate::host::{Failure, Invocation, RunError, run_bounded};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The user who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    pub user: String,
    /// The file of the private key, which only ssh reads.
    pub key: PathBuf,
    /// A file with the host key under [`Ssh::ALIAS`], which is then the only one that is accepted.
    pub known_hosts: Option<PathBuf>,
}

impl Ssh {
    /// The name of the guest in `known_hosts`.
    pub(super) const ALIAS: &str = "guest";
}

/// What is reported if no login succeeded.
pub(super) const NO_LOGIN: &str = "could not log in over ssh";
/// A guest that has just shown its prompt may still be generating its host keys.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(2);
/// Timeout of one connection including the login. Each step takes seconds under TCG.
const CONNECTION: Duration = Duration::from_secs(60);

/// Longest output of a command. Checks transfer up to 1 MiB for each value.
const MOST_SAID: usize = 32 << 20;

/// A free port of this host for QEMU to forward.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Connects and runs each command. The first connection is retried until the guest's server responds.
pub(super) fn run_over_ssh(ssh: &Ssh, port: u16, commands: &[String]) -> Result<Vec<Answer>, SessionError> {
    // A guest with a known host key has already started its server.
    let patience = if ssh.known_hosts.is_some() { PATIENCE / 6 } else { PATIENCE };
    let until = Instant::now() + patience;
    loop {
        match run_bounded(&invocation(ssh, port, "true"), Some(CONNECTION), &mut |_| {}) {
            Ok(_) => break,
            Err(_) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(failure) => return Err(fault(NO_LOGIN, failure)),
        }
    }
    commands.iter().map(|command| answer(ssh, port, command)).collect()
}

fn answer(ssh: &Ssh, port: u16, command: &str) -> Result<Answer, SessionError> {
    // ssh exits with 255 for its own errors, so the command's exit status is transferred in the output.
    let told = format!("{{ {command}\n}} 2>&1; printf '\\nister-end:%s\\n' $?");
    let talk = invocation(ssh, port, &told).output_limit(MOST_SAID);
    let finished = run_bounded(&talk, Some(COMMAND), &mut |_| {})
        .map_err(|failure| fault("the ssh connection was lost", failure))?;
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    let (said, status) = text.rsplit_once("\nister-end:").unwrap_or((&text, ""));
    Ok(Answer {
        command: command.to_owned(),
        status: status.trim().parse().unwrap_or(-1),
        lines: said.trim_end_matches('\n').lines().map(str::to_owned).collect(),
    })
}

/// Unknown host keys are accepted, because the guest is new each time and only reachable through this host.
fn invocation(ssh: &Ssh, port: u16, command: &str) -> Invocation {
    Invocation::new("ssh")
        .args(["-F", "none", "-p", &port.to_string(), "-l", &ssh.user, "-i"])
        .arg(&ssh.key)
        .args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20"])
        .args(["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"])
        .args(["-o", "LogLevel=ERROR"])
        .args(host_key(ssh))
        .args(["127.0.0.1", "--", command])
}

/// Options for the check of the host key.
fn host_key(ssh: &Ssh) -> Vec<String> {
    let (check, file) = match &ssh.known_hosts {
        Some(file) => ("yes", file.display().to_string()),
        None => ("no", "/dev/null".to_owned()),
    };
    let options = [
        format!("StrictHostKeyChecking={check}"),
        format!("UserKnownHostsFile={file}"),
        format!("HostKeyAlias={}", Ssh::ALIAS),
    ];
    options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect()
}

fn fault(what: &str, error: RunError) -> SessionError {
    SessionError { what: what.to_owned(), lines: Failure::from(error).details }
}
