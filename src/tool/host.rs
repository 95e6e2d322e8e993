//! The one place that runs programs.

use super::catalog::package_of;
use super::{Failure, Invocation};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// What a program that ended well left behind.
#[derive(Debug)]
pub struct Finished {
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Lines of stderr that a failure shows.
const TAIL: usize = 20;

/// PATH with the administrators' folders, which an ordinary user's PATH lacks on Debian.
pub fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|p| p.is_absolute()).collect();
    for more in ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
        if !folders.iter().any(|f| f == Path::new(more)) {
            folders.push(more.into());
        }
    }
    std::env::join_paths(folders).unwrap_or(path)
}

/// Where a program is, if it is there and executable.
pub fn find_program(program: &str) -> Option<PathBuf> {
    let executable =
        |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && !path.is_dir();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|p| executable(p));
    }
    std::env::split_paths(&search_path()).map(|folder| folder.join(program)).find(|p| executable(p))
}

/// Runs a program to its end; anything but exit code 0 is a failure that shows command, code and stderr.
pub fn run(invocation: &Invocation) -> Result<Finished, Failure> {
    run_reporting(invocation, &mut |_| {})
}

/// As [`run`], giving each line of stderr away as it comes.
pub fn run_reporting(invocation: &Invocation, line: &mut dyn FnMut(&str)) -> Result<Finished, Failure> {
    let started = Instant::now();
    let mut child = spawn(invocation, Stdio::null(), Stdio::piped(), Stdio::piped())?;
    let (sender, said) = channel();
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    forward(stdout, sender.clone(), |bytes| Said::Out(bytes.to_vec()));
    forward(stderr, sender.clone(), |bytes| Said::Error(bytes.to_vec()));
    std::thread::spawn(move || drop(sender.send(Said::Ended(child.wait()))));

    let mut stdout = Vec::new();
    let mut all = Vec::new();
    let mut shown = 0;
    let mut status = None;
    loop {
        // A daemon that it left behind may hold the pipes open for ever: what was said is there soon.
        let patience = if status.is_some() { Duration::from_millis(500) } else { Duration::MAX };
        match said.recv_timeout(patience) {
            Ok(Said::Out(bytes)) => stdout.extend(bytes),
            Ok(Said::Error(bytes)) => {
                all.extend(bytes);
                while let Some(end) = all[shown..].iter().position(|byte| *byte == b'\n') {
                    line(String::from_utf8_lossy(&all[shown..shown + end]).trim_end());
                    shown += end + 1;
                }
            }
            Ok(Said::Ended(ended)) => status = Some(ended),
            Err(_) => break,
        }
    }
    let all = String::from_utf8_lossy(&all).into_owned();
    let status =
        status.unwrap_or_else(|| Err(std::io::Error::other("nobody waited for it"))).map_err(|error| {
            Failure::new(format!("could not wait for `{}`", invocation.program)).detail(error.to_string())
        })?;
    if status.success() {
        return Ok(Finished { stdout, stderr: all });
    }
    let mut failure = Failure::new(format!("`{}` failed", invocation.program)).detail(format!(
        "ran: {}    ({} after {:.1} s)",
        shortened(&invocation.to_string()),
        ending(status),
        started.elapsed().as_secs_f64()
    ));
    let lines: Vec<&str> = all.lines().map(str::trim_end).filter(|text| !text.is_empty()).collect();
    for text in &lines[lines.len().saturating_sub(TAIL)..] {
        failure = failure.detail(format!("it said: {text}"));
    }
    Err(failure)
}

/// A command line that a person can still read.
fn shortened(line: &str) -> String {
    const MOST: usize = 1500;
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{} … ({} characters)", &line[..at], line.chars().count()),
        None => line.to_owned(),
    }
}

/// What a program's end and its pipes tell.
enum Said {
    Out(Vec<u8>),
    Error(Vec<u8>),
    Ended(std::io::Result<ExitStatus>),
}

fn forward(mut pipe: impl Read + Send + 'static, sender: Sender<Said>, wrap: fn(&[u8]) -> Said) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send(wrap(&buffer[..count])).is_err() {
                return;
            }
        }
    });
}

fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Starts a program with a scrubbed locale and a full search path. `run` suits most; this is for those that
/// are talked to while they run.
pub fn spawn(invocation: &Invocation, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Child, Failure> {
    let program = find_program(&invocation.program).ok_or_else(|| missing(&invocation.program))?;
    let mut command = Command::new(&program);
    command
        .args(&invocation.args)
        .env("PATH", search_path())
        .env("LC_ALL", "C.UTF-8")
        .env_remove("LANGUAGE")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    for (name, value) in &invocation.env {
        command.env(name, value);
    }
    if let Some(folder) = &invocation.folder {
        command.current_dir(folder);
    }
    command.spawn().map_err(|error| {
        Failure::new(format!("could not start `{}`", program.display()))
            .detail(format!("ran: {invocation}"))
            .detail(error.to_string())
    })
}

fn missing(program: &str) -> Failure {
    let failure = Failure::new(format!("`{program}` is needed and not installed"));
    match package_of(program) {
        Some(package) => failure.help(format!(
            "install the package `{package}` (`sudo apt-get install {package}`), or everything that is missing \
             with `ister doctor --install`"
        )),
        None => failure.help("install it, or correct PATH"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_command_code_and_words() {
        let failure = run(&Invocation::new("sh").args(["-c", "echo no >&2; exit 4"])).unwrap_err();
        assert_eq!(failure.message, "`sh` failed");
        assert!(failure.details[0].starts_with("ran: sh -c 'echo no >&2; exit 4'    (exit code 4 after"));
        assert_eq!(failure.details[1], "it said: no");
    }

    #[test]
    fn a_daemon_left_behind_does_not_keep_us() {
        let started = Instant::now();
        run(&Invocation::new("sh").args(["-c", "sleep 30 & echo done"])).unwrap();
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let failure = missing("mcopy");
        assert_eq!(failure.message, "`mcopy` is needed and not installed");
        assert!(failure.help.unwrap().contains("`mtools`"));
        assert!(run(&Invocation::new("no-such-program-at-all")).is_err());
    }

    #[test]
    fn output_of_both_kinds_is_kept() {
        let finished = run(&Invocation::new("sh").args(["-c", "echo out; echo err >&2"])).unwrap();
        assert_eq!((finished.stdout.as_slice(), finished.stderr.as_str()), (&b"out\n"[..], "err\n"));
    }
}
