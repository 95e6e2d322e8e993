//! Programs that the tests compare ister with: `tests/tools/install.sh` installs them.

use std::path::{Path, PathBuf};

/// The directory that the tools are in, if the one that is wanted is there. Otherwise the test is skipped visibly, or fails
/// where `CI` is set: nothing is silently not tested.
pub fn tool(wanted: &str) -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let path = directory.join(wanted);
    if path.exists() {
        return Some(path);
    }
    skip(&format!("{} is not there; `make tools` installs it", path.display()))
}

/// A program of the host.
#[allow(dead_code, reason = "not every test program needs one")]
pub fn host_program(name: &str) -> Option<PathBuf> {
    let found = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()));
    found
        .or_else(|| skip(&format!("this host has no `{name}`; `ister doctor --install --tests` installs it")))
}

fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
    None
}
