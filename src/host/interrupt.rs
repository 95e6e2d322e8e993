//! Handles Ctrl-C and SIGTERM: all child processes end and no files are left.
//!
//! Child processes that must not outlive ister have a parent-death signal, and atomic files have no name. It remains to
//! let workers clean up, remove the few named temporary files, print a message, and exit with 128 plus the signal
//! number.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

static NAMED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Registers a file or directory for removal if this process is ended by a signal.
pub fn remove_on_interrupt(path: &Path) {
    NAMED.lock().unwrap_or_else(|e| e.into_inner()).push(path.to_owned());
}

/// Unregisters a file that was renamed to its destination or removed.
pub fn unregister_file(path: &Path) {
    NAMED.lock().unwrap_or_else(|e| e.into_inner()).retain(|p| p != path);
}

/// Sockets of workers, which clean up when their socket is closed.
static WORKERS: Mutex<Vec<(u64, UnixStream)>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Time limit for the cleanup of workers.
const CLEANUP: Duration = Duration::from_secs(20);

/// A registered worker, until this value is dropped.
pub(super) struct AtWork(u64);

impl Drop for AtWork {
    fn drop(&mut self) {
        WORKERS.lock().unwrap_or_else(|e| e.into_inner()).retain(|(id, _)| *id != self.0);
    }
}

/// Registers the socket of a worker: the worker ends when it is closed.
pub(super) fn ends_with_us(socket: Option<UnixStream>) -> AtWork {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    if let Some(socket) = socket {
        WORKERS.lock().unwrap_or_else(|e| e.into_inner()).push((id, socket));
    }
    AtWork(id)
}

/// Process groups of hooks, which do not receive Ctrl-C from the terminal.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A registered process group, until this value is dropped.
pub(super) struct Running(u32);

impl Drop for Running {
    fn drop(&mut self) {
        GROUPS.lock().unwrap_or_else(|e| e.into_inner()).retain(|id| *id != self.0);
    }
}

static LEFT: Mutex<Option<String>> = Mutex::new(None);

/// Sets the description of what remains if a signal ends this process from now on, as a sentence fragment.
pub fn set_interrupt_note(what: String) {
    *LEFT.lock().unwrap_or_else(|e| e.into_inner()) = Some(what);
}

/// Registers a process group, which is killed when this process is ended by a signal.
pub(super) fn group_ends_with_us(id: u32) -> Running {
    GROUPS.lock().unwrap_or_else(|e| e.into_inner()).push(id);
    Running(id)
}

fn end_groups() {
    for id in GROUPS.lock().unwrap_or_else(|e| e.into_inner()).iter() {
        if let Some(pid) = i32::try_from(*id).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Waits while this process is being ended by a signal, so that only the signal handler determines its exit status.
pub(super) fn wait_if_interrupted() {
    if INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::sleep(CLEANUP);
    }
}

fn end_workers() {
    INTERRUPTED.store(true, Ordering::SeqCst);
    for (_, socket) in WORKERS.lock().unwrap_or_else(|e| e.into_inner()).iter() {
        let _ = socket.shutdown(std::net::Shutdown::Both);
    }
    let until = Instant::now() + CLEANUP;
    while !WORKERS.lock().unwrap_or_else(|e| e.into_inner()).is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Installs handlers with which SIGINT, SIGTERM and SIGHUP end the process cleanly. `say` prints a message to the user.
pub fn install_handlers(say: impl Fn(&str) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end_groups();
            end_workers();
            for path in NAMED.lock().unwrap_or_else(|e| e.into_inner()).iter() {
                let _ =
                    if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            }
            let left = LEFT.lock().unwrap_or_else(|e| e.into_inner()).clone();
            let left = left.as_deref().unwrap_or("no files were left behind");
            say(&match signal {
                SIGINT => format!("interrupted; {left}"),
                _ => format!("terminated; {left}"),
            });
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
