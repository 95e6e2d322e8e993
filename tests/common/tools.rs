//! Programs that the tests compare ister with. `tests/tools/install.sh` installs them.

use crate::harness::skip;
use std::path::{Path, PathBuf};

/// Returns the path of one of these programs. Skips the test if it is missing.
pub(crate) fn tool(wanted: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let path = directory.join(wanted);
    if !path.exists() {
        skip(&format!("`{}` is not installed (run `make tools`)", path.display()));
    }
    path
}

/// Returns the path of a host program. Skips the test if it is missing.
pub(crate) fn host_program(name: &str) -> PathBuf {
    let found = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()));
    found
        .unwrap_or_else(|| skip(&format!("`{name}` is not installed (run `ister doctor --install --tests`)")))
}
