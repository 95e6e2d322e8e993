//! The second of two builds: everything that must not matter is different.

use super::console::Console;
use super::diff::differences;
use crate::report::differences_human;
use crate::tool::{Context, Invocation, Progress, run_reporting};
use anyhow::bail;
use std::path::Path;

/// Runs this program again with the same arguments but another folder, time zone, locale, umask and one CPU, and gives
/// the differences between the images; empty if there are none.
pub fn again(image: &Path, output: &Path, from_stdin: bool, console: &Console) -> anyhow::Result<String> {
    if from_stdin {
        bail!("--twice reads the template a second time: name a file");
    }
    let progress: &dyn Progress = console;
    progress.begin("building again, differently");
    let folder = tempfile::Builder::new()
        .prefix(".ister-twice-")
        .tempdir_in(output)
        .context(|| format!("could not create a folder in `{}`", output.display()))?;
    let own = std::env::current_exe().context(|| "could not find ister's own program file".to_owned())?;
    let other = Invocation::new("sh")
        .args(["-c", "umask 077; exec \"$@\"", "sh", "taskset", "1"])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .args(["--once", "-q", "-o"])
        .arg(folder.path())
        .env("TZ", "Pacific/Kiritimati")
        .env("LANG", "tr_TR.UTF-8")
        .env("TMPDIR", folder.path());
    run_reporting(&other, &mut |_| {}).map_err(|failure| failure.context("the second build failed"))?;
    let second = folder.path().join(image.file_name().unwrap_or_default());
    let found = differences(image, &second, console);
    console.finish();
    let found = found?;
    let name = |what: &str| format!("{what} build");
    folder.close().context(|| format!("could not remove a folder in `{}`", output.display()))?;
    Ok(differences_human(&name("first"), &name("second"), &found))
}
