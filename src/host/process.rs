//! Runs programs. All child processes are started here.

use super::run_error::{ProgramRun, RunError};
use super::{Inherited, Invocation, interrupt};
use command_fds::{CommandFdExt, FdMapping};
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Result of a finished program.
#[derive(Debug)]
pub struct Finished {
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub status: ExitStatus,
    pub took: Duration,
}

/// Number of stderr lines in a failure.
const TAIL: usize = 20;
/// Maximum number of bytes of stderr to keep; the last ones are kept.
const MOST_KEPT: usize = 1 << 20;

/// Returns PATH extended by the administrator directories, which are not in the PATH of regular users on Debian.
pub fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).filter(|p| p.is_absolute()).collect();
    for more in ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        if !directories.iter().any(|f| f == Path::new(more)) {
            directories.push(more.into());
        }
    }
    std::env::join_paths(directories).unwrap_or(path)
}

/// Returns the path of a program if it exists and is executable.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let executable =
        |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && !path.is_dir();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|p| executable(p));
    }
    std::env::split_paths(&search_path()).map(|directory| directory.join(program)).find(|p| executable(p))
}

/// Runs a program. Any exit code other than 0 is an error with command, exit code and stderr.
pub fn run(invocation: &Invocation) -> Result<Finished, RunError> {
    run_reporting(invocation, &mut |_| {})
}

/// Like [`run`], passing each line of stderr to `line` as it is printed.
pub fn run_reporting(invocation: &Invocation, line: &mut dyn FnMut(&str)) -> Result<Finished, RunError> {
    run_bounded(invocation, None, line)
}

/// Like [`run`], for programs whose exit code is not just success or failure.
pub fn run_any_status(invocation: &Invocation) -> Result<Finished, RunError> {
    complete(invocation, Stdio::null(), Stdio::piped(), None, &mut |_| {}).map(|(finished, _)| finished)
}

/// Like [`run`], with a file as standard input.
pub fn run_with_input(invocation: &Invocation, input: File) -> Result<Finished, RunError> {
    let (finished, _) = complete(invocation, input.into(), Stdio::piped(), None, &mut |_| {})?;
    judge(invocation, finished, None)
}

/// Like [`run`], with standard output redirected to a file.
pub fn run_with_output(invocation: &Invocation, output: File) -> Result<Finished, RunError> {
    let (finished, _) = complete(invocation, Stdio::null(), output.into(), None, &mut |_| {})?;
    judge(invocation, finished, None)
}

/// Like [`run_reporting`], killing the program after a time limit.
pub fn run_bounded(
    invocation: &Invocation,
    time: Option<Duration>,
    line: &mut dyn FnMut(&str),
) -> Result<Finished, RunError> {
    let (finished, timed_out) = complete(invocation, Stdio::null(), Stdio::piped(), time, line)?;
    judge(invocation, finished, time.filter(|_| timed_out))
}

/// Runs a program until it ends, and returns whether it was killed after the time limit.
fn complete(
    invocation: &Invocation,
    stdin: Stdio,
    stdout: Stdio,
    time: Option<Duration>,
    line: &mut dyn FnMut(&str),
) -> Result<(Finished, bool), RunError> {
    let started = Instant::now();
    log::debug!("running: {}", shortened(&invocation.to_string()));
    let mut child = spawn(invocation, stdin, stdout, Stdio::piped())?;
    // Bounded, because a program may print faster than its output is processed.
    let (sender, output) = sync_channel(64);
    let stdout = child.stdout.take();
    let stderr = child.stderr.take().expect("stderr is piped");
    let process = Started { id: child.id(), group: invocation.own_group };
    let _with_us = process.group.then(|| interrupt::group_ends_with_us(process.id));
    if let Some(stdout) = stdout {
        forward(stdout, sender.clone(), |bytes| Output::Out(bytes.to_vec()));
    }
    forward(stderr, sender.clone(), |bytes| Output::Error(bytes.to_vec()));
    std::thread::spawn(move || drop(sender.send(Output::Ended(child.wait()))));

    let mut stdout = Vec::new();
    let mut all = Vec::new();
    let mut shown: usize = 0;
    let mut status = None;
    let mut timed_out = false;
    loop {
        // Checked on every iteration, so that continuous output does not extend the time limit.
        if status.is_none() && !timed_out && time.is_some_and(|time| started.elapsed() >= time) {
            timed_out = true;
            process.end();
        }
        // A daemon left running may keep the pipes open; remaining output of the program itself arrives quickly.
        let patience = match (&status, time) {
            (Some(_), _) => Duration::from_millis(500),
            (None, Some(time)) if !timed_out => time.saturating_sub(started.elapsed()),
            (None, _) => Duration::MAX,
        };
        match output.recv_timeout(patience) {
            Ok(Output::Out(bytes)) => {
                stdout.extend(bytes);
                let gone = stdout.len().saturating_sub(invocation.most_output);
                stdout.drain(..gone);
            }
            Ok(Output::Error(bytes)) => {
                all.extend(bytes);
                if all.len() > MOST_KEPT {
                    // Drop lines that were already reported, and the start of an overlong line.
                    let gone = all.len() - MOST_KEPT / 2;
                    all.drain(..gone);
                    shown = shown.saturating_sub(gone);
                }
                while let Some(end) = all[shown..].iter().position(|byte| *byte == b'\n') {
                    let output = String::from_utf8_lossy(&all[shown..shown + end]);
                    log::debug!("{}: {}", invocation.program, output.trim_end());
                    line(output.trim_end());
                    shown += end + 1;
                }
            }
            Ok(Output::Ended(ended)) => {
                status = Some(ended);
                process.end_group();
            }
            Err(_) if status.is_none() && !timed_out && time.is_some() => {}
            Err(_) => break,
        }
    }
    let all = String::from_utf8_lossy(&all).into_owned();
    let status = status.unwrap_or_else(|| Err(std::io::Error::other("the exit status was not received")));
    let lost = |source| RunError::NotWaitedFor { program: invocation.program.clone(), source };
    let status = status.map_err(lost)?;
    Ok((Finished { stdout, stderr: all, status, took: started.elapsed() }, timed_out))
}

fn judge(
    invocation: &Invocation,
    finished: Finished,
    timed_out: Option<Duration>,
) -> Result<Finished, RunError> {
    if finished.status.success() && timed_out.is_none() {
        return Ok(finished);
    }
    let Finished { stderr, status, took, .. } = finished;
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let run = ProgramRun {
        program: invocation.program.clone(),
        command: shortened(&invocation.to_string()),
        took,
        last_lines: lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| (*line).to_owned()).collect(),
    };
    Err(match (timed_out, status.signal()) {
        (Some(limit), _) => RunError::TimedOut { limit, run },
        (None, Some(signal)) => RunError::Signalled { signal, run },
        (None, None) => RunError::Exited { code: status.code().unwrap_or(-1), run },
    })
}

/// Truncates very long command lines.
fn shortened(line: &str) -> String {
    const MOST: usize = 1500;
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{} … ({} characters)", &line[..at], line.chars().count()),
        None => line.to_owned(),
    }
}

/// A running or finished program. Its PID remains the ID of its process group while the group exists.
struct Started {
    id: u32,
    group: bool,
}

impl Started {
    /// Kills the program and its process group if it has its own.
    fn end(&self) {
        if self.group {
            self.end_group();
        } else if let Some(pid) = self.pid() {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Kills the remaining processes of its own group.
    fn end_group(&self) {
        if let Some(pid) = self.pid().filter(|_| self.group) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }

    fn pid(&self) -> Option<rustix::process::Pid> {
        rustix::process::Pid::from_raw(i32::try_from(self.id).ok()?)
    }
}

/// Output and exit status of a program.
enum Output {
    Out(Vec<u8>),
    Error(Vec<u8>),
    Ended(std::io::Result<ExitStatus>),
}

fn forward(mut pipe: impl Read + Send + 'static, sender: SyncSender<Output>, wrap: fn(&[u8]) -> Output) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send(wrap(&buffer[..count])).is_err() {
                return;
            }
        }
    });
}

/// Environment variables that must not be passed to other programs.
static KEPT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Removes this variable from the environment of all programs started from now on.
pub fn hide_variable(name: &str) {
    let mut kept = KEPT.lock().unwrap_or_else(|e| e.into_inner());
    if !kept.iter().any(|known| known == name) {
        kept.push(name.to_owned());
    }
}

/// Returns these variables, for starting ister itself again.
pub fn hidden_variables() -> Vec<(String, OsString)> {
    let kept = KEPT.lock().unwrap_or_else(|e| e.into_inner());
    kept.iter().filter_map(|name| Some((name.clone(), std::env::var_os(name)?))).collect()
}

/// Starts a program with a fixed locale and a complete search path. Most callers use `run`; this is for interactive
/// communication.
pub fn spawn(invocation: &Invocation, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Child, RunError> {
    let program = find_program(&invocation.program).ok_or_else(|| missing(&invocation.program))?;
    let mut command = match invocation.dies_with_us {
        false => Command::new(&program),
        true => {
            let mut command = Command::new(find_program("setpriv").ok_or_else(|| missing("setpriv"))?);
            command.args(["--pdeathsig", "KILL"]).arg(&program);
            command
        }
    };
    command
        .args(&invocation.args)
        .env("PATH", search_path())
        .env("LC_ALL", "C.UTF-8")
        .env_remove("LANGUAGE")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    for name in KEPT.lock().unwrap_or_else(|e| e.into_inner()).iter() {
        command.env_remove(name);
    }
    for (name, value) in &invocation.env {
        command.env(name, value);
    }
    if let Some(directory) = &invocation.directory {
        command.current_dir(directory);
    }
    if invocation.own_group {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let not_started = |source| RunError::NotStarted {
        program: program.display().to_string(),
        command: invocation.to_string(),
        source,
    };
    // Files are mapped in the child process, so that other programs started at the same time do not inherit them.
    if !invocation.files.is_empty() {
        let mapping = |inherited: &Inherited| {
            let parent_fd = inherited.file.try_clone()?;
            Ok(FdMapping { parent_fd, child_fd: inherited.number })
        };
        let mappings = invocation.files.iter().map(mapping).collect::<std::io::Result<Vec<_>>>();
        let mapped = command.fd_mappings(mappings.map_err(not_started)?);
        mapped.map_err(|error| not_started(std::io::Error::other(error)))?;
    }
    command.spawn().map_err(not_started)
}

fn missing(program: &str) -> RunError {
    RunError::Missing { program: program.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Failure;

    #[test]
    fn failure_contains_command_exit_code_and_output() {
        let error = run(&Invocation::new("sh").args(["-c", "echo no >&2; exit 4"])).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.message, "`sh` failed");
        assert!(failure.details[0].starts_with("ran: sh -c 'echo no >&2; exit 4'    (exit code 4 after"));
        assert_eq!(failure.details[1], "output: no");
    }

    #[test]
    fn daemons_do_not_delay_completion() {
        let started = Instant::now();
        run(&Invocation::new("sh").args(["-c", "sleep 30 & echo done"])).unwrap();
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn timeout_kills_the_process_group() {
        let started = Instant::now();
        let directory = tempfile::tempdir().unwrap();
        let script = "echo before >&2; (sleep 2; touch left) & sleep 30";
        let hook = Invocation::new("sh").args(["-c", script]).directory(directory.path()).in_own_group();
        let error = run_bounded(&hook, Some(Duration::from_secs(1)), &mut |_| {}).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.message, "`sh` did not finish within 1 s and was killed");
        assert_eq!(failure.details[1], "output: before");
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_secs(2));
        assert!(!directory.path().join("left").exists());
    }

    #[test]
    fn continuous_output_does_not_extend_the_timeout() {
        let script = "exec yes what a day >&2";
        let hook = Invocation::new("sh").args(["-c", script]).in_own_group();
        let error = run_bounded(&hook, Some(Duration::from_secs(1)), &mut |_| {}).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.message, "`sh` did not finish within 1 s and was killed");
    }

    #[test]
    fn output_is_limited() {
        let invocation = Invocation::new("sh").args(["-c", "head -c 100000 /dev/zero"]).output_limit(70_000);
        assert_eq!(run(&invocation).unwrap().stdout.len(), 70_000);
    }

    #[test]
    fn exit_reasons_are_distinguished() {
        let sh = |script: &str| run(&Invocation::new("sh").args(["-c", script])).unwrap_err();
        assert!(matches!(run(&Invocation::new("no-such-program-at-all")), Err(RunError::Missing { .. })));
        assert!(matches!(sh("exit 7"), RunError::Exited { code: 7, .. }));
        assert!(matches!(sh("kill -9 $$"), RunError::Signalled { signal: 9, .. }));
    }

    #[test]
    fn files_are_inherited_by_the_given_program_only() {
        let file = tempfile::tempfile().unwrap();
        let name = crate::host::inherited_name(&file);
        let write = Invocation::new("sh").args(["-c", "echo written >\"$1\"", "sh", &name]);
        assert!(run(&write).is_err(), "the file is not inherited by default");
        run(&write.inheriting(&file).unwrap()).unwrap();
        let output = run(&Invocation::new("cat").arg(&name).inheriting(&file).unwrap()).unwrap();
        assert_eq!(output.stdout, b"written\n");
    }

    #[test]
    fn stdout_and_stderr_are_captured() {
        let finished = run(&Invocation::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        assert_eq!((finished.stdout.as_slice(), finished.stderr.as_str()), (&b"out\n"[..], "err\n"));
    }
}
