//! The namespace in which an image is built, on the host side and in the sandbox.
//!
//! On the host side, [`Worker`] starts this program again through `unshare`, with separate mount and PID namespaces.
//! For unprivileged users, it also creates a user namespace in which the user is root and the subordinate IDs provide
//! all other owners. In the sandbox, [`workspace_from_stdin`] receives the job and [`Workspace`] mounts a tmpfs that is
//! visible only in this namespace. When either side ends, the kernel ends all processes of the PID namespace, and the
//! mounts disappear with it: the worker is process 1, has a parent-death signal, and exits when the socket of the host
//! side is closed.

use super::debug::debug_lines_to;
use super::failure::Context;
use super::interrupt;
use super::memory::available_memory;
use super::process::{run, spawn};
use super::{Event, Failure, Invocation, Progress};
use rustix::fs::{FlockOperation, flock};
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Messages from the sandbox, one JSON object per line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    Event(Event),
    Done(serde_json::Value),
    Failed(Failure),
}

/// Runs a job in the sandbox.
pub struct Worker;

impl Worker {
    /// Runs `job` in the sandbox and returns its result. Files are passed over a socket instead of being inherited, so
    /// that child processes of the worker cannot access them.
    pub fn run<R: for<'de> Deserialize<'de>>(
        job: &impl Serialize,
        files: &[&File],
        progress: &dyn Progress,
    ) -> Result<R, Failure> {
        let root = rustix::process::geteuid().is_root();
        if !root {
            check_user()?;
        }
        let invocation = invocation(root)?;
        let (mut stdin, inner) =
            UnixStream::pair().context(|| "could not create a socket for the build namespace".to_owned())?;
        let mut child = spawn(&invocation, OwnedFd::from(inner).into(), Stdio::piped(), Stdio::piped())?;
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let worker_output = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).trim().to_owned()
        });
        let mut line = serde_json::to_string(job).expect("a job is plain data");
        line.push('\n');
        // Errors are ignored: if the namespace could not be created, the socket is already closed, and the exit status
        // has more details.
        let _ = send_files(&stdin, files).and_then(|()| stdin.write_all(line.as_bytes()));

        // After an interrupt, the worker gets time to clean up.
        let guard = interrupt::ends_with_us(stdin.try_clone().ok());
        let mut outcome = None;
        for line in BufReader::new(child.stdout.take().expect("stdout is piped")).lines() {
            match line.ok().and_then(|line| serde_json::from_str(&line).ok()) {
                Some(Message::Event(event)) => progress.event(event),
                Some(Message::Done(value)) => outcome = Some(Ok(value)),
                Some(Message::Failed(failure)) => outcome = Some(Err(failure)),
                None => {}
            }
        }
        drop(stdin);
        let status = child.wait().context(|| "could not wait for the build namespace".to_owned())?;
        drop(guard);
        interrupt::wait_if_interrupted();
        let worker_output = worker_output.join().unwrap_or_default();
        match outcome {
            Some(Ok(value)) => serde_json::from_value(value).map_err(|error| {
                Failure::new("invalid result from the build namespace").detail(error.to_string())
            }),
            Some(Err(failure)) => Err(failure),
            None => Err(did_not_answer(root, status, &worker_output)),
        }
    }
}

/// Checks that an unprivileged user has subordinate IDs and may create a user namespace. If the latter is denied,
/// `unshare --map-auto` would leave a child process that waits forever.
fn check_user() -> Result<(), Failure> {
    check_subordinate_ranges()?;
    run(&Invocation::new("unshare").args(["--map-root-user", "true"]))
        .map(|_| ())
        .map_err(|failure| denied(false, failure))
}

/// Checks that this host allows the namespaces of a build, by creating them once. Detects restrictions of a container's
/// seccomp profile or masked /proc before anything is built.
pub fn try_namespaces() -> Result<(), Failure> {
    let root = rustix::process::geteuid().is_root();
    if !root {
        check_user()?;
    }
    let all = unshared(root).args(["sh", "-ec", "hostname localhost; mount -t proc proc /proc"]);
    run(&all).map(|_| ()).map_err(|failure| denied(root, failure))
}

fn invocation(root: bool) -> Result<Invocation, Failure> {
    let own = std::env::current_exe()
        .context(|| "could not determine the path of the ister executable".to_owned())?;
    Ok(unshared(root).arg(own).arg("namespace-worker"))
}

/// Returns the command prefix that runs a program in new namespaces.
fn unshared(root: bool) -> Invocation {
    let mut invocation = Invocation::new("setpriv").args(["--pdeathsig", "KILL", "unshare"]);
    if !root {
        invocation = invocation.args(["--map-root-user", "--map-auto"]);
    }
    invocation.args(["--mount", "--propagation", "private", "--uts", "--pid", "--fork", "--kill-child", "--"])
}

const NOT_ALLOWED: &str = "this host does not allow the namespaces that a build needs";

/// Help text: how to allow namespaces.
fn allow(root: bool) -> &'static str {
    if root {
        "root requires CAP_SYS_ADMIN and permission to mount filesystems: start a container with \
         `--cap-add SYS_ADMIN` (and `--security-opt apparmor=unconfined` where AppArmor is used), or with `--privileged`"
    } else {
        "allow user namespaces: set the sysctls kernel.unprivileged_userns_clone=1 and \
         kernel.apparmor_restrict_unprivileged_userns=0 where they exist, and user.max_user_namespaces > 0; start a \
         container with `--privileged`; or run ister as root"
    }
}

fn denied(root: bool, failure: impl Into<Failure>) -> Failure {
    failure.into().context(NOT_ALLOWED).help(allow(root))
}

fn did_not_answer(root: bool, status: std::process::ExitStatus, worker_output: &str) -> Failure {
    let mut failure = Failure::new("the build namespace exited unexpectedly").detail(format!("{status}"));
    for line in worker_output.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev() {
        failure = failure.detail(format!("output: {line}"));
    }
    // Messages of unshare or newuidmap.
    if worker_output.contains("unshare failed")
        || worker_output.contains("uid_map failed")
        || worker_output.contains("gid_map failed")
    {
        return Failure { message: NOT_ALLOWED.into(), ..failure }.help(allow(root));
    }
    if worker_output.is_empty() && !status.success() {
        failure = failure.help("check `dmesg` for an out-of-memory condition");
    }
    failure
}

/// Returns the number of subordinate IDs of a user in /etc/subuid or /etc/subgid (subuid(5)).
pub fn subordinate_ranges(text: &str, name: &str, uid: u32) -> u64 {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let owner = fields.next()?;
            let count: u64 = fields.nth(1)?.trim().parse().ok()?;
            (owner == name || owner == uid.to_string()).then_some(count)
        })
        .sum()
}

/// The first range of 65536 IDs, as `usermod --add-subuids` takes it, that no user has in /etc/subuid or /etc/subgid.
pub fn free_subordinate_range() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let first = first_free_id(&[&read("/etc/subuid"), &read("/etc/subgid")]);
    format!("{first}-{}", first + IDS_NEEDED - 1)
}

/// The end of the highest range, at least the first ID that useradd(8) gives (SUB_UID_MIN of login.defs(5)).
fn first_free_id(files: &[&str]) -> u64 {
    let ends = files.iter().flat_map(|text| text.lines()).filter_map(|line| {
        let mut fields = line.split(':').skip(1);
        let start: u64 = fields.next()?.trim().parse().ok()?;
        let count: u64 = fields.next()?.trim().parse().ok()?;
        start.checked_add(count)
    });
    // A range that leaves no room behind it, such as that of root in some containers, does not count.
    let usable = ends.filter(|end| end.saturating_add(IDS_NEEDED) < u64::from(u32::MAX));
    usable.max().unwrap_or(0).max(100_000)
}

/// User and group IDs of Debian reach up to 65534 (nobody).
const IDS_NEEDED: u64 = 65_536;

fn check_subordinate_ranges() -> Result<(), Failure> {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
        })
        .unwrap_or_else(|| uid.to_string());
    for file in ["/etc/subuid", "/etc/subgid"] {
        let have = subordinate_ranges(&std::fs::read_to_string(file).unwrap_or_default(), &name, uid);
        if have < IDS_NEEDED {
            return Err(Failure::new(format!(
                "user `{name}` needs {IDS_NEEDED} subordinate IDs in {file} for the owners of the image's files"
            ))
            .detail(format!("found {have} subordinate IDs for `{name}` in {file}"))
            .help(format!(
                "sudo usermod --add-subuids {range} --add-subgids {range} {name}    \
                 (or `ister doctor --install`; or run ister as root)",
                range = free_subordinate_range(),
            )));
        }
    }
    Ok(())
}

/// Working directory in the sandbox, which disappears with the namespace.
pub struct Workspace {
    pub root: PathBuf,
    on_disk: bool,
}

/// Receives the job and its files from the host side. Afterwards a thread watches the socket and ends this process, and
/// with it the namespace, if the host side is killed.
pub fn workspace_from_stdin<J: for<'de> Deserialize<'de>>() -> Result<(J, Vec<File>), Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Hides the host name from package scripts, which might store it in the image.
    rustix::system::sethostname(b"localhost")
        .map_err(|error| denied_inside("could not set the host name of the namespace", error))?;
    let files = receive_files().context(|| "could not receive the job's files".to_owned())?;
    let mut line = String::new();
    let mut stdin = BufReader::new(std::io::stdin());
    stdin.read_line(&mut line).context(|| "could not read the job".to_owned())?;
    let job =
        serde_json::from_str(&line).map_err(|error| Failure::new("invalid job").detail(error.to_string()))?;
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(stdin.read(&mut byte), Ok(1..)) {}
        leave_disk();
        std::process::exit(1);
    });
    Ok((job, files))
}

/// Error for an operation that is normally allowed in a new namespace.
fn denied_inside(what: &str, error: rustix::io::Errno) -> Failure {
    let failure = Failure::new(what).caused_by(&std::io::Error::from(error));
    match error {
        rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => failure.help(
            "the seccomp profile or masked /proc of a container may deny it: start it with `--cap-add SYS_ADMIN`; for an \
             unprivileged user with `--security-opt seccomp=unconfined` and an unmasked /proc, or with `--privileged`",
        ),
        _ => failure,
    }
}

/// Maximum number of files of a job: the content and the disks.
const MAX_FILES: usize = 33;

/// Sends one byte with the files as ancillary data. Source: unix(7), SCM_RIGHTS.
fn send_files(socket: &UnixStream, files: &[&File]) -> std::io::Result<()> {
    let fds: Vec<BorrowedFd> = files.iter().map(|file| file.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(std::io::Error::other("too many files for one job"));
    }
    sendmsg(socket, &[IoSlice::new(b"F")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_files() -> std::io::Result<Vec<File>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // The files are closed on exec.
    recvmsg(std::io::stdin(), &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            files.extend(fds.map(File::from));
        }
    }
    Ok(files)
}

/// The sandbox side of the protocol.
impl Workspace {
    pub fn progress() -> impl Progress {
        // Log messages of the sandbox are written to the log of the host side.
        debug_lines_to(|line| send(&Message::Event(Event::Debug(line))));
        |event: Event| send(&Message::Event(event))
    }

    /// Sends the result and exits.
    pub fn answer<R: Serialize>(result: Result<R, Failure>) -> ! {
        leave_disk();
        let code = i32::from(result.is_err());
        send(&match result {
            Ok(value) => Message::Done(serde_json::to_value(value).expect("an answer is plain data")),
            Err(failure) => Message::Failed(failure),
        });
        std::process::exit(code)
    }

    /// Mounts a tmpfs on `directory` if the available memory is at least twice `need` bytes. Otherwise creates a
    /// subdirectory of it if the disk has enough space. Also mounts a new /proc for this PID namespace.
    pub fn open(directory: &Path, need: u64) -> Result<Workspace, Failure> {
        let mount =
            |source: &str, target: &Path, kind: &str, flags: MountFlags, data: Option<&std::ffi::CStr>| {
                rustix::mount::mount(source, target, kind, flags, data).map_err(|error| {
                    let what =
                        format!("could not mount {kind} on `{}` inside the namespace", target.display());
                    denied_inside(&what, error)
                })
            };
        mount(
            "proc",
            Path::new("/proc"),
            "proc",
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC,
            None,
        )?;
        sweep_workspaces(directory);
        let available = available_memory();
        if available / 2 >= need {
            let data = format!("size={},mode=0755,nr_inodes=0", available / 4 * 3);
            let data = std::ffi::CString::new(data).expect("no NUL in it");
            mount("tmpfs", directory, "tmpfs", MountFlags::NOATIME, Some(&data))?;
            return Ok(Workspace { root: directory.to_owned(), on_disk: false });
        }
        if let Ok(disk) = rustix::fs::statvfs(directory)
            && disk.f_bavail * disk.f_frsize < need
        {
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            let free = mib(disk.f_bavail * disk.f_frsize);
            return Err(Failure::new(format!("not enough space for the build in `{}`", directory.display()))
                .detail(format!("about {} MiB required, {free} MiB available", mib(need)))
                .detail(format!("not enough memory either: half of {} MiB can be used", mib(available)))
                .help(
                    "free some memory or disk space, or select a directory on another disk with --cache-dir",
                ));
        }
        let root = directory.join(format!("{DISK_PREFIX}{}", unique()));
        let context = || format!("could not create `{}`", root.display());
        std::fs::create_dir(&root).context(context)?;
        // The lock marks the directory as in use; it is released when this process ends.
        let lock = File::open(&root).context(context)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).context(context)?;
        *ON_DISK.lock().unwrap_or_else(|e| e.into_inner()) = Some((root.clone(), lock));
        Ok(Workspace { root, on_disk: true })
    }

    pub fn is_on_disk(&self) -> bool {
        self.on_disk
    }
}

/// The workspace on disk, if there was not enough memory.
static ON_DISK: std::sync::Mutex<Option<(PathBuf, File)>> = std::sync::Mutex::new(None);

/// Name prefix of workspaces on disk.
const DISK_PREFIX: &str = "disk-";

/// Removes workspaces on disk of killed builds and returns their number. Must run inside the namespace, because the
/// files belong to IDs that exist only there.
pub fn sweep_workspaces(directory: &Path) -> usize {
    let mut swept = 0;
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(DISK_PREFIX) {
            continue;
        }
        let free = File::open(entry.path())
            .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
        if free && std::fs::remove_dir_all(entry.path()).is_ok() {
            swept += 1;
        }
    }
    swept
}

/// Whether there are workspaces for [`sweep_workspaces`].
pub fn has_workspaces(directory: &Path) -> bool {
    let mut entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with(DISK_PREFIX))
}

/// Kills all other processes of this PID namespace and returns their number: processes left running by a hook could
/// modify the tree while the image is created. Does nothing outside a separate PID namespace.
pub fn kill_other_processes() -> usize {
    if rustix::process::getpid().as_raw_nonzero().get() != 1 {
        return 0;
    }
    let mut ended = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.filter(|pid| *pid > 1).and_then(rustix::process::Pid::from_raw) else { continue };
        // Zombies are not counted.
        let dead = std::fs::read_to_string(entry.path().join("stat"))
            .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
        if !dead && rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok() {
            ended += 1;
        }
    }
    ended
}

fn leave_disk() {
    if let Some((root, _lock)) = ON_DISK.lock().unwrap_or_else(|e| e.into_inner()).take() {
        // Ensures that nothing is written while the directory is removed.
        kill_other_processes();
        for line in std::fs::read_to_string("/proc/mounts").unwrap_or_default().lines().rev() {
            if let Some(target) = line.split(' ').nth(1)
                && Path::new(target).starts_with(&root)
            {
                let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
            }
        }
        let _ = std::fs::remove_dir_all(&root);
    }
}

fn unique() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos())
}

fn send(message: &Message) {
    let line = serde_json::to_string(message).expect("a message is plain data");
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_other_users_are_not_given_again() {
        assert_eq!(first_free_id(&["", ""]), 100_000);
        assert_eq!(first_free_id(&["ada:100000:65536\nbob:165536:65536\n", "ada:100000:65536\n"]), 231_072);
        assert_eq!(first_free_id(&["root:1:4294967294\n", "bob:1:18446744073709551615\n"]), 100_000);
        assert_eq!(first_free_id(&["ada:5000:10\n# x\n", "bob:x:y\n"]), 100_000);
    }

    #[test]
    fn ranges_are_matched_by_name_and_number() {
        let text = "alice:100000:65536\n1001:165536:1000\nbob:1:2\n";
        assert_eq!(subordinate_ranges(text, "alice", 1000), 65_536);
        assert_eq!(subordinate_ranges(text, "carol", 1001), 1000);
        assert_eq!(subordinate_ranges(text, "dave", 1002), 0);
    }

    #[test]
    fn unprivileged_users_get_a_user_namespace() {
        let shown = invocation(false).unwrap().to_string();
        assert!(
            shown.starts_with("setpriv --pdeathsig KILL unshare --map-root-user --map-auto --mount"),
            "{shown}"
        );
        assert!(!invocation(true).unwrap().to_string().contains("--map"));
    }
}
