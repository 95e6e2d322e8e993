//! Ctrl-C and SIGTERM: everything ends, nothing stays.
//!
//! Children that must not outlive us are started with a parent-death signal, and drafts have no name, so there
//! is little to do: let workers clean up, remove the few named files that exist, say so, and exit with 128 + the
//! signal's number.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

static NAMED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file or directory that is removed if a signal ends us.
pub fn remove_on_interrupt(path: &Path) {
    NAMED.lock().unwrap_or_else(|e| e.into_inner()).push(path.to_owned());
}

/// The file found its place, or is gone.
pub fn forget_file(path: &Path) {
    NAMED.lock().unwrap_or_else(|e| e.into_inner()).retain(|p| p != path);
}

/// Sockets of workers that clean up when theirs is closed.
static WORKERS: Mutex<Vec<(u64, UnixStream)>> = Mutex::new(Vec::new());
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// How long a worker may take to clean up.
const CLEANUP: Duration = Duration::from_secs(20);

/// A worker that is at work until this is dropped.
pub(super) struct AtWork(u64);

impl Drop for AtWork {
    fn drop(&mut self) {
        WORKERS.lock().unwrap_or_else(|e| e.into_inner()).retain(|(id, _)| *id != self.0);
    }
}

/// Remembers a worker's socket: closing it makes the worker end.
pub(super) fn ends_with_us(socket: Option<UnixStream>) -> AtWork {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    if let Some(socket) = socket {
        WORKERS.lock().unwrap_or_else(|e| e.into_inner()).push((id, socket));
    }
    AtWork(id)
}

/// Process groups of hooks: a terminal's Ctrl-C does not reach them.
static GROUPS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// A group that runs until this is dropped.
pub(super) struct Running(u32);

impl Drop for Running {
    fn drop(&mut self) {
        GROUPS.lock().unwrap_or_else(|e| e.into_inner()).retain(|id| *id != self.0);
    }
}

static LEFT: Mutex<Option<String>> = Mutex::new(None);

/// What stays if we are ended by a signal from now on: a fragment of a sentence.
pub fn leaves_when_interrupted(what: String) {
    *LEFT.lock().unwrap_or_else(|e| e.into_inner()) = Some(what);
}

/// Remembers a process group: it ends when we are ended.
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

/// While the process is being ended by a signal, nobody else decides how it ends.
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

/// From here on SIGINT, SIGTERM and SIGHUP end the process cleanly. `say` tells the user.
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
            let left = left.as_deref().unwrap_or("nothing was left behind");
            say(&match signal {
                SIGINT => format!("interrupted; {left}"),
                _ => format!("told to end; {left}"),
            });
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
