//! Programs that the tests compare ister with: `tests/tools/install.sh` installs them.

use crate::harness::skip;
use std::path::{Path, PathBuf};

/// One of those programs; without it the test is skipped.
pub(crate) fn tool(wanted: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let path = directory.join(wanted);
    if !path.exists() {
        skip(&format!("{} is not there; `make tools` installs it", path.display()));
    }
    path
}

/// A program of the host.
pub(crate) fn host_program(name: &str) -> PathBuf {
    let found = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()));
    found.unwrap_or_else(|| {
        skip(&format!("this host has no `{name}`; `ister doctor --install --tests` installs it"))
    })
}
