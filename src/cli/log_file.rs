//! The log file: all messages and the output of programs, each line with a timestamp. It contains no secrets, because
//! those are never part of arguments or messages.

use crate::host::{Context, Failure, debug_lines_to};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

static LOG_FILE: OnceLock<LogFile> = OnceLock::new();

struct LogFile {
    file: Option<Mutex<File>>,
    /// Also print debug lines on stderr.
    shows_debug: bool,
}

/// Starts logging. An existing log file is overwritten, as ister.py did.
pub(super) fn begin(path: Option<&Path>, shows_debug: bool) -> Result<(), Failure> {
    let file = path
        .map(|path| {
            // The output of programs may be sensitive, so only the owner can read the log.
            let options = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
            options.context(|| format!("could not write the log file `{}`", path.display()))
        })
        .transpose()?;
    if file.is_none() && !shows_debug {
        return Ok(());
    }
    let log_file = LogFile { file: file.map(Mutex::new), shows_debug };
    if LOG_FILE.set(log_file).is_ok() {
        debug_lines_to(|line| record("debug", &line));
    }
    Ok(())
}

/// Logs a text. `level` is a syslog level: debug, info, warning, error.
pub(super) fn record(level: &str, text: &str) {
    let Some(log_file) = LOG_FILE.get() else { return };
    if level == "debug" && log_file.shows_debug {
        let _ = writeln!(std::io::stderr(), "debug: {text}");
    }
    if let Some(file) = &log_file.file {
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        let mut lines = String::new();
        for line in text.lines() {
            lines.push_str(&format!("{now} {level}: {line}\n"));
        }
        let mut file = file.lock().unwrap_or_else(|e| e.into_inner());
        // Ignore errors: if the disk is full, the build itself reports it.
        let _ = file.write_all(lines.as_bytes());
    }
}
