//! The log: a file with everything that is said, and what the programs that ran said, each line with its time. Secrets are
//! not in it: they reach neither arguments nor messages.

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
    /// Debug lines go to stderr too.
    shows_debug: bool,
}

/// From here on all that is said is logged. What an earlier run logged is replaced, as ister.py did.
pub(super) fn begin(path: Option<&Path>, shows_debug: bool) -> Result<(), Failure> {
    let file = path
        .map(|path| {
            // What programs say is not for everybody.
            let options = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
            options.context(|| format!("could not write the log `{}`", path.display()))
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

/// A line for the file; `level` as in syslog: debug, info, warning, error.
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
        // A full disk is noticed where it matters.
        let _ = file.write_all(lines.as_bytes());
    }
}
