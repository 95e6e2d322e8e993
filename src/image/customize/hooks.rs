//! Runs the hooks of a template.

use super::resolver::Resolver;
use crate::host::{
    Chroot, Context, Failure, Invocation, Progress, RunError, Subreaper, kill_other_processes, run_bounded,
};
use crate::plan::Hooks;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Runs `PreInstallShell` on the host, as the user who runs ister, before anything is written.
pub fn pre_install(hooks: &Hooks, time: Duration, progress: &dyn Progress) -> Result<(), Failure> {
    if hooks.pre_install_shell.is_empty() {
        return Ok(());
    }
    let orphans = Subreaper::adopt();
    let leftovers = || orphans.end();
    let run = Hook { time, progress, epoch: None, leftovers: &leftovers };
    for command in &hooks.pre_install_shell {
        // The hook must not outlive ister. In the sandbox, the PID namespace ensures that.
        let shell = Invocation::new("setpriv").args(["--pdeathsig", "KILL", "sh", "-c", command]);
        run.hook("PreInstallShell", command, shell)?;
    }
    Ok(())
}

/// Source: reproducible-builds.org.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Files of the tree that a hook created or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookFiles {
    /// Name of the hook's key in the template.
    pub kind: String,
    pub command: String,
    pub files: Vec<String>,
}

/// How the hooks that get the finished tree are run.
pub struct HookOptions<'o> {
    /// Where relative paths of `PostNonChroot` start; `None` for the working directory.
    pub programs_in: Option<&'o Path>,
    /// `SOURCE_DATE_EPOCH` of the hooks.
    pub epoch: u64,
    /// Timeout of each hook.
    pub time: Duration,
    /// Whether to list the files that each hook changed.
    pub watch: bool,
}

/// Runs the hooks that get the finished tree, as root of the build's namespace, in the order of ister.py.
///
/// `tree` is the path passed to the hooks. The result lists the files that each hook changed, if they are watched.
pub fn post_hooks(
    hooks: &Hooks,
    tree: &Path,
    options: &HookOptions,
    progress: &dyn Progress,
) -> Result<Vec<HookFiles>, Failure> {
    let &HookOptions { programs_in, epoch, time, watch } = options;
    let run = Hook { time, progress, epoch: Some(epoch), leftovers: &kill_other_processes };
    let mut changed = Vec::new();
    let mut hook = |kind: &str, command: &str, invocation: Invocation| -> Result<(), Failure> {
        let started = SystemTime::now();
        run.hook(kind, command, invocation)?;
        if watch {
            let files = changed_since(tree, started)?;
            changed.push(HookFiles { kind: kind.to_owned(), command: command.to_owned(), files });
        }
        Ok(())
    };
    for program in &hooks.post_non_chroot {
        // Resolve the program like the linter: relative to the directory of the template, not in PATH.
        let path = programs_in.map_or_else(|| PathBuf::from(program), |directory| directory.join(program));
        let path = std::path::absolute(&path).unwrap_or(path);
        hook("PostNonChroot", program, Invocation::new(path.to_string_lossy()).arg(tree))?;
    }
    for command in &hooks.post_non_chroot_shell {
        let shell = Invocation::new("sh").args(["-c", command]).env("ISTER_CHROOT", tree);
        hook("PostNonChrootShell", command, shell)?;
    }
    if hooks.post_chroot.is_empty() && hooks.post_chroot_shell.is_empty() {
        return Ok(changed);
    }
    let chroot = Chroot::enter_with_run(tree)?;
    let resolver = Resolver::lend(tree)?;
    // Programs in the chroot get a separate environment.
    let time = [(SOURCE_DATE_EPOCH, epoch.to_string())];
    for command in &hooks.post_chroot {
        // ister.py split this one into a program and its arguments.
        let words =
            shlex::split(command).filter(|words| !words.is_empty()).unwrap_or_else(|| vec![command.clone()]);
        hook("PostChroot", command, chroot.invocation_with(&time, &words[0]).args(&words[1..]))?;
    }
    for command in &hooks.post_chroot_shell {
        hook("PostChrootShell", command, chroot.invocation_with(&time, "/bin/sh").args(["-c", command]))?;
    }
    resolver.take_back()?;
    drop(chroot);
    Ok(changed)
}

/// Returns the paths in the tree whose status changed since then. Filesystem timestamps have the resolution of the
/// kernel's timer tick.
fn changed_since(tree: &Path, since: SystemTime) -> Result<Vec<String>, Failure> {
    const TICK: Duration = Duration::from_millis(20);
    let since = since.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(TICK);
    let device = rustix::fs::lstat(tree).context(|| format!("could not read `{}`", tree.display()))?.st_dev;
    let mut files = Vec::new();
    let mut directories = vec![tree.to_owned()];
    while let Some(directory) = directories.pop() {
        // The directory may have disappeared.
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            // Skip other mounts of the chroot, such as /proc.
            let Ok(status) = rustix::fs::lstat(&path) else { continue };
            if status.st_dev != device {
                continue;
            }
            let is_directory =
                rustix::fs::FileType::from_raw_mode(status.st_mode) == rustix::fs::FileType::Directory;
            let changed = Duration::new(status.st_ctime as u64, status.st_ctime_nsec as u32);
            if changed >= since
                && !is_directory
                && let Ok(inside) = path.strip_prefix(tree)
            {
                files.push(format!("/{}", inside.display()));
            }
            if is_directory {
                directories.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

struct Hook<'a> {
    /// Timeout of each hook.
    time: Duration,
    progress: &'a dyn Progress,
    /// Seconds since 1970, for SOURCE_DATE_EPOCH.
    epoch: Option<u64>,
    /// Terminates the processes that a hook left running and returns their number.
    leftovers: &'a dyn Fn() -> usize,
}

impl Hook<'_> {
    fn hook(&self, kind: &str, name: &str, invocation: Invocation) -> Result<(), Failure> {
        self.progress.begin(format!("running {kind} `{name}`"));
        // Include the standard output in the log.
        let mut both = Invocation::new("sh").args(["-c", "exec \"$@\" 1>&2", "sh", &invocation.program]);
        both.args.extend(invocation.args);
        both.env = invocation.env;
        let both = match self.epoch {
            Some(epoch) => both.env(SOURCE_DATE_EPOCH, epoch.to_string()),
            None => both,
        };
        let both = both.in_own_group();
        let ended =
            run_bounded(&both, Some(self.time), &mut |line| self.progress.note(format!("{kind}: {line}")));
        // A daemon in a session of its own has left the process group.
        let left = (self.leftovers)();
        if left > 0 {
            let processes = if left == 1 { "process" } else { "processes" };
            self.progress.warn(format!("terminated {left} {processes} that {kind} `{name}` left running"));
        }
        let Err(error) = ended else { return Ok(()) };
        // Judge by the exit status of the hook itself, not by what it prints about other programs.
        let timed_out = matches!(error, RunError::TimedOut { .. });
        // The host is to blame: the hook was killed or could not be started, or a disk is full.
        let host_failed = error.exited().is_none() || error.has_printed("No space left on device");
        // Hooks of published templates expect the empty /etc of Clear Linux.
        let directory_exists =
            error.last_lines().iter().any(|line| line.contains("mkdir:") && line.contains("File exists"));
        let failure = error.context(format!("the hook {kind} `{name}` failed"));
        Err(match (timed_out, directory_exists, host_failed) {
            (true, ..) => failure.help("increase the timeout with --hook-timeout SECONDS"),
            (false, true, _) => failure.of_template().help(
                "use `mkdir -p`: Debian packages already contain this directory, while /etc of Clear Linux is empty",
            ),
            (false, false, true) => failure,
            (false, false, false) => failure.of_template(),
        })
    }
}
