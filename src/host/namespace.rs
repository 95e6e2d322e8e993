//! The namespace in which an image is built, from both sides.
//!
//! Outside, [`Worker`] starts this program again below `unshare`: with mount and PID namespaces of its own and,
//! for an ordinary user, a user namespace in which the user is root and the sub-id range gives all other owners.
//! Inside, [`workspace_from_stdin`] receives the job and mounts the [`Workspace`], a tmpfs that only this
//! namespace sees. However either side ends, the kernel ends all processes of the PID namespace and the mounts
//! go with it: the worker is its process 1, dies with its parent (parent-death signal), and also ends itself when
//! the pipe from outside closes.

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

/// What comes out of the namespace, a JSON object a line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    Event(Event),
    Done(serde_json::Value),
    Failed(Failure),
}

/// A job for the namespace: starts it and waits for its end.
pub struct Worker;

impl Worker {
    /// Runs `job` inside and gives its answer. The files go with it over a socket, not by inheritance: what the
    /// worker starts in turn must not find them.
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
            UnixStream::pair().context(|| "could not make a socket for the build's namespace".to_owned())?;
        let mut child = spawn(&invocation, OwnedFd::from(inner).into(), Stdio::piped(), Stdio::piped())?;
        let mut stderr = child.stderr.take().expect("stderr is piped");
        let said = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).trim().to_owned()
        });
        let mut line = serde_json::to_string(job).expect("a job is plain data");
        line.push('\n');
        // If the namespace could not be made the socket is closed already; its end tells more.
        let _ = send_files(&stdin, files).and_then(|()| stdin.write_all(line.as_bytes()));

        // Interrupted: the namespace gets the time to clean up after itself.
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
        let status = child.wait().context(|| "could not wait for the build's namespace".to_owned())?;
        drop(guard);
        interrupt::wait_if_interrupted();
        let said = said.join().unwrap_or_default();
        match outcome {
            Some(Ok(value)) => serde_json::from_value(value).map_err(|error| {
                Failure::new("the build's namespace gave an answer that makes no sense")
                    .detail(error.to_string())
            }),
            Some(Err(failure)) => Err(failure),
            None => Err(did_not_answer(root, status, &said)),
        }
    }
}

/// Whether an ordinary user has ids to give away, and may have a user namespace. Where that is denied, `unshare --map-auto`
/// would leave a child behind that waits for ever.
fn check_user() -> Result<(), Failure> {
    check_subordinate_ranges()?;
    run(&Invocation::new("unshare").args(["--map-root-user", "true"]))
        .map(|_| ())
        .map_err(|failure| denied(false, failure))
}

/// Whether this host lets a build have its namespaces, by making them once. What a container's seccomp profile or its
/// masked /proc forbid is seen here before anything is built.
pub fn try_namespaces() -> Result<(), Failure> {
    let root = rustix::process::geteuid().is_root();
    if !root {
        check_user()?;
    }
    let all = unshared(root).args(["sh", "-ec", "hostname localhost; mount -t proc proc /proc"]);
    run(&all).map(|_| ()).map_err(|failure| denied(root, failure))
}

fn invocation(root: bool) -> Result<Invocation, Failure> {
    let own = std::env::current_exe().context(|| "could not find ister's own program file".to_owned())?;
    Ok(unshared(root).arg(own).arg("namespace-worker"))
}

/// What stands in front of a program that gets the namespaces.
fn unshared(root: bool) -> Invocation {
    let mut invocation = Invocation::new("setpriv").args(["--pdeathsig", "KILL", "unshare"]);
    if !root {
        invocation = invocation.args(["--map-root-user", "--map-auto"]);
    }
    invocation.args(["--mount", "--propagation", "private", "--uts", "--pid", "--fork", "--kill-child", "--"])
}

const NOT_ALLOWED: &str = "this host does not allow the namespaces that a build needs";

/// How to have them allowed.
fn allow(root: bool) -> &'static str {
    if root {
        "root needs CAP_SYS_ADMIN here, and mounting must not be denied: start a container with \
         `--cap-add SYS_ADMIN` (and `--security-opt apparmor=unconfined` where AppArmor is used), or with `--privileged`"
    } else {
        "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 and \
         kernel.apparmor_restrict_unprivileged_userns=0 where they exist, and user.max_user_namespaces > 0; start a \
         container with `--privileged`; or run ister as root"
    }
}

fn denied(root: bool, failure: impl Into<Failure>) -> Failure {
    failure.into().context(NOT_ALLOWED).help(allow(root))
}

fn did_not_answer(root: bool, status: std::process::ExitStatus, said: &str) -> Failure {
    let mut failure =
        Failure::new("the build's namespace ended before it was done").detail(format!("{status}"));
    for line in said.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev() {
        failure = failure.detail(format!("it said: {line}"));
    }
    // Of unshare itself, or of newuidmap.
    if said.contains("unshare failed") || said.contains("uid_map failed") || said.contains("gid_map failed") {
        return Failure { message: NOT_ALLOWED.into(), ..failure }.help(allow(root));
    }
    if said.is_empty() && !status.success() {
        failure = failure.help("it may have run out of memory: see `dmesg`");
    }
    failure
}

/// How many ids of /etc/subuid or /etc/subgid (see subuid(5)) belong to a user.
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

/// Debian's own users and groups reach up to 65534 (nobody).
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
                "user `{name}` has no range of {IDS_NEEDED} subordinate ids in {file}, needed to own the image's files"
            ))
            .detail(format!("{file} gives `{name}` {have} ids"))
            .help(format!(
                "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}    \
                 (or `ister doctor --install`; or run ister as root)"
            )));
        }
    }
    Ok(())
}

/// The inner side: a place to work in that nobody else sees and that vanishes with the namespace.
pub struct Workspace {
    pub root: PathBuf,
    on_disk: bool,
}

/// Takes the job and its files from outside, and watches the socket they came through from then on.
pub fn workspace_from_stdin<J: for<'de> Deserialize<'de>>() -> Result<(J, Vec<File>), Failure> {
    // Ends this process, and with it the namespace, should the outer side be killed before it could tell us.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // Nobody inside learns the host's name: a package's script might write it down.
    rustix::system::sethostname(b"localhost")
        .map_err(|error| denied_inside("could not name the namespace", error))?;
    let files = receive_files().context(|| "could not receive the job's files".to_owned())?;
    let mut line = String::new();
    let mut stdin = BufReader::new(std::io::stdin());
    stdin.read_line(&mut line).context(|| "could not read the job".to_owned())?;
    let job = serde_json::from_str(&line)
        .map_err(|error| Failure::new("the job makes no sense").detail(error.to_string()))?;
    std::thread::spawn(move || {
        let mut byte = [0];
        while matches!(stdin.read(&mut byte), Ok(1..)) {}
        leave_disk();
        std::process::exit(1);
    });
    Ok((job, files))
}

/// What is allowed in a namespace of one's own, and was not.
fn denied_inside(what: &str, error: rustix::io::Errno) -> Failure {
    let failure = Failure::new(what).caused_by(&std::io::Error::from(error));
    match error {
        rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => failure.help(
            "a container's seccomp profile or its masked /proc may forbid it: start it with `--cap-add SYS_ADMIN`; for an \
             ordinary user with `--security-opt seccomp=unconfined` and an unmasked /proc, or with `--privileged`",
        ),
        _ => failure,
    }
}

/// As many files as a job may have: the content and the disks.
const MAX_FILES: usize = 33;

/// One byte, and the files as ancillary data. Source: unix(7), SCM_RIGHTS.
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
    // The files close when this process starts another one.
    recvmsg(std::io::stdin(), &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            files.extend(fds.map(File::from));
        }
    }
    Ok(files)
}

/// Sends an event, the result or a failure to the outer side.
impl Workspace {
    pub fn progress() -> impl Progress {
        // What is logged inside belongs to the log outside.
        debug_lines_to(|line| send(&Message::Event(Event::Debug(line))));
        |event: Event| send(&Message::Event(event))
    }

    /// Answers and ends.
    pub fn answer<R: Serialize>(result: Result<R, Failure>) -> ! {
        leave_disk();
        let code = i32::from(result.is_err());
        send(&match result {
            Ok(value) => Message::Done(serde_json::to_value(value).expect("an answer is plain data")),
            Err(failure) => Message::Failed(failure),
        });
        std::process::exit(code)
    }

    /// Mounts a tmpfs on `directory` if memory has room for `need` bytes and as much again; else works in a new
    /// directory inside it, if its disk has the room. Also gives this PID namespace its own /proc.
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
            return Err(Failure::new(format!(
                "there is not enough space to work in `{}`",
                directory.display()
            ))
            .detail(format!("about {} MiB are needed, {free} MiB are free", mib(need)))
            .detail(format!("memory has no room either: of {} MiB half may be used", mib(available)))
            .help("free some memory or disk space, or choose another disk with --cache-dir"));
        }
        let root = directory.join(format!("{DISK_PREFIX}{}", unique()));
        let context = || format!("could not create `{}`", root.display());
        std::fs::create_dir(&root).context(context)?;
        // The lock says that somebody works here; it goes with this process, however that ends.
        let lock = File::open(&root).context(context)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).context(context)?;
        *ON_DISK.lock().unwrap_or_else(|e| e.into_inner()) = Some((root.clone(), lock));
        Ok(Workspace { root, on_disk: true })
    }

    pub fn is_on_disk(&self) -> bool {
        self.on_disk
    }
}

/// Where the workspace is when memory had no room for it.
static ON_DISK: std::sync::Mutex<Option<(PathBuf, File)>> = std::sync::Mutex::new(None);

/// Names of directories for workspaces on disk.
const DISK_PREFIX: &str = "disk-";

/// Removes workspaces on disk whose builds were killed. Must run inside the namespace: their files belong to ids
/// that only it knows. Gives how many there were.
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

/// Whether there is anything for [`sweep_workspaces`] to look at.
pub fn has_workspaces(directory: &Path) -> bool {
    let mut entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with(DISK_PREFIX))
}

/// Ends every other process of this PID namespace, and says how many there were: what a hook left behind would write into
/// the tree while an image is made of it. Nothing where this is no namespace of its own.
pub fn end_leftovers() -> usize {
    if rustix::process::getpid().as_raw_nonzero().get() != 1 {
        return 0;
    }
    let mut ended = 0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        let Some(pid) = pid.filter(|pid| *pid > 1).and_then(rustix::process::Pid::from_raw) else { continue };
        // One that is dead already has nothing more to run.
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
        // So that nothing writes while the directory goes.
        end_leftovers();
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
    fn ranges_belong_to_names_and_numbers() {
        let text = "alice:100000:65536\n1001:165536:1000\nbob:1:2\n";
        assert_eq!(subordinate_ranges(text, "alice", 1000), 65_536);
        assert_eq!(subordinate_ranges(text, "carol", 1001), 1000);
        assert_eq!(subordinate_ranges(text, "dave", 1002), 0);
    }

    #[test]
    fn an_ordinary_user_gets_a_user_namespace() {
        let shown = invocation(false).unwrap().to_string();
        assert!(
            shown.starts_with("setpriv --pdeathsig KILL unshare --map-root-user --map-auto --mount"),
            "{shown}"
        );
        assert!(!invocation(true).unwrap().to_string().contains("--map"));
    }
}
