//! Ctrl-C and SIGTERM: everything ends, nothing stays.
//!
//! Children that must not outlive us are started with a parent-death signal, and drafts have no name, so there
//! is little to do: remove the few named files that exist, say so, and exit with 128 + the signal's number.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

static NAMED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file or folder that is removed if a signal ends us.
pub fn remove_on_interrupt(path: &Path) {
    NAMED.lock().unwrap_or_else(|e| e.into_inner()).push(path.to_owned());
}

/// The file found its place, or is gone.
pub fn forget_file(path: &Path) {
    NAMED.lock().unwrap_or_else(|e| e.into_inner()).retain(|p| p != path);
}

/// From here on SIGINT, SIGTERM and SIGHUP end the process cleanly. `say` tells the user.
pub fn install_handlers(say: impl Fn(&str) + Send + 'static) -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            for path in NAMED.lock().unwrap_or_else(|e| e.into_inner()).iter() {
                let _ =
                    if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
            }
            say(match signal {
                SIGINT => "interrupted; nothing was left behind",
                _ => "told to end; nothing was left behind",
            });
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
