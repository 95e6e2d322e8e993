//! The reproducibility check: a second build in a different environment.

use super::console::Console;
use super::diff::differences;
use crate::disk::Window;
use crate::host::{Context, Failure, Invocation, Progress, hidden_variables, run_reporting};
use crate::image::customize::HookFiles;
use crate::image::pipeline::Built;
use crate::report::differences_human;
use crate::verify::compare::differing;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

/// Runs this program again with the same arguments, but with another directory, time zone, locale, umask and one CPU.
/// Returns the differences between the images and between their published files, or an empty string. For files
/// written by a hook, the hook is listed.
pub(super) fn again(
    image: &Path,
    built: &Built,
    output: &Path,
    console: &Console,
) -> Result<String, Failure> {
    let progress: &dyn Progress = console;
    progress.begin("building again in a different environment");
    let directory = tempfile::Builder::new()
        .prefix(".ister-twice-")
        .tempdir_in(output)
        .context(|| format!("could not create a directory in `{}`", output.display()))?;
    let own =
        std::env::current_exe().context(|| "could not find the path of the ister executable".to_owned())?;
    let other = Invocation::new(own.to_string_lossy())
        .args(std::env::args_os().skip(1))
        .args(["--once", "-q", "-o"])
        .arg(directory.path())
        .env("TZ", "Pacific/Kiritimati")
        .env("LANG", "tr_TR.UTF-8")
        .env("TMPDIR", directory.path());
    // The second build needs the secrets that are hidden from other child processes.
    let other = hidden_variables().into_iter().fold(other, |other, (name, value)| other.env(name, value));
    run_reporting(&other, &mut |_| {}).map_err(|failure| failure.context("the second build failed"))?;
    let second = directory.path().join(image.file_name().unwrap_or_default());
    let found = differences(image, &second, console);
    console.finish();
    let found = found?;
    let name = |what: &str| format!("{what} build");
    let mut text = differences_human(&name("first"), &name("second"), &found);
    let places = found.iter().flat_map(|difference| &difference.place);
    let mut listed = BTreeSet::new();
    for path in places.filter(|place| place.starts_with('/')) {
        // The path may be relative to a partition that is mounted below the root directory.
        let wrote = |hook: &&HookFiles| hook.files.iter().any(|file| file.ends_with(path.as_str()));
        if let Some(hook) = built.hooks.iter().rev().find(wrote)
            && listed.insert(path)
        {
            text.push_str(&format!("{path}: written by {} `{}`\n", hook.kind, hook.command));
        }
    }
    progress.begin("comparing published files");
    for file in &built.published {
        let other = directory.path().join(file.file_name().unwrap_or_default());
        let context = || format!("could not compare `{}` with the second build", file.display());
        if let Some(difference) = first_difference(file, &other).context(context)? {
            text.push_str(&format!("{}: {difference}\n", file.display()));
        }
    }
    console.finish();
    directory.close().context(|| format!("could not remove a directory in `{}`", output.display()))?;
    Ok(text)
}

/// Describes the first difference between two files.
fn first_difference(one: &Path, other: &Path) -> std::io::Result<Option<String>> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    let sizes = (one.metadata()?.len(), other.metadata()?.len());
    let window = |file, size| Window { file, offset: 0, size };
    let (blocks, _) = differing(&window(&one, sizes.0), &window(&other, sizes.1), 1)?;
    Ok(match blocks.first() {
        Some(block) => Some(format!("the first difference is at byte {}", block.at)),
        None if sizes.0 != sizes.1 => {
            Some(format!("{} bytes, but {} bytes in the second build", sizes.0, sizes.1))
        }
        None => None,
    })
}

/// Sets another umask and restricts the process to one CPU, for the second build.
pub(super) fn differ() {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Ignore errors: the check is only slightly weaker with several CPUs.
    if let Ok(allowed) = sched_getaffinity(None) {
        let mut one = CpuSet::new();
        if let Some(cpu) = (0..CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)) {
            one.set(cpu);
            let _ = sched_setaffinity(None, &one);
        }
    }
}
