//! Selects the image types that changes in git affect.

use super::console::Console;
use super::files::definitions;
use crate::host::{Context, Failure, Invocation};
use crate::image::sha256;
use crate::imagetest::{ImageType, Ingredients, texts, touched};
use crate::template::{SourceText, parse};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Returns the types that are affected by changes since a commit, and reports a changed path for each.
pub(super) fn changed_since(
    base: &str,
    directory: &Path,
    types: Vec<ImageType>,
    console: &Console,
) -> anyhow::Result<Vec<ImageType>> {
    let changed = changed_since_fork(directory, base)?;
    let paths = [changed.tracked, changed.others].concat();
    let mut kept = Vec::new();
    for kind in types {
        if let Some(path) = touched(&ingredients(&kind, &changed.top)?, &paths) {
            console.say(&format!("ister: {}: `{path}` has changed", kind.name));
            kept.push(kind);
        }
    }
    Ok(kept)
}

/// Paths that differ from a commit, relative to the top of the repository.
struct Changed {
    top: PathBuf,
    /// Tracked files, committed or not.
    tracked: Vec<String>,
    /// Untracked files.
    others: Vec<String>,
}

fn git(directory: &Path, args: &[&str]) -> Result<String, Failure> {
    let finished = crate::host::run(&Invocation::new("git").arg("-C").arg(directory).args(args))?;
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}

/// The current commit, if the directory is in a git repository. If there are uncommitted changes to tracked files or
/// to files that a type uses, `+` and a hash of them is appended.
pub(super) fn revision(directory: &Path, types: &[ImageType]) -> Option<String> {
    crate::host::find_program("git")?;
    let commit = git(directory, &["rev-parse", "--verify", "HEAD"]).ok()?.trim().to_owned();
    // Hash names and contents, because the output of `git diff` depends on the user's configuration.
    let Changed { top, tracked, others } = not_committed(directory).ok()?;
    let ingredients: Vec<_> = types.iter().filter_map(|kind| ingredients(kind, &top).ok()).collect();
    let is_ours =
        |path: &&String| ingredients.iter().any(|one| touched(one, std::slice::from_ref(*path)).is_some());
    let changed: Vec<&String> = tracked.iter().chain(others.iter().filter(is_ours)).collect();
    if changed.is_empty() {
        return Some(commit);
    }
    let mut hash = Sha256::new();
    for name in changed {
        let path = top.join(name);
        // Deleted files and FIFOs have no content.
        let content = path.is_file().then(|| sha256(&path).ok()).flatten();
        hash.update(format!("{name}\0{}\0", content.unwrap_or_default()));
    }
    let hash: String = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{commit}+{hash}"))
}

fn changed_since_fork(directory: &Path, base: &str) -> Result<Changed, Failure> {
    let context = |failure: Failure| failure.context(format!("could not list the changes since `{base}`"));
    let fork = git(directory, &["merge-base", "--end-of-options", base, "HEAD"]).map_err(context)?;
    differing(directory, fork.trim()).map_err(context)
}

fn not_committed(directory: &Path) -> Result<Changed, Failure> {
    differing(directory, "HEAD")
}

fn differing(directory: &Path, commit: &str) -> Result<Changed, Failure> {
    let top = git(directory, &["rev-parse", "--show-toplevel"])?;
    let top = PathBuf::from(top.trim_end_matches('\n'));
    let names = |args: &[&str]| -> Result<Vec<String>, Failure> {
        let output = git(&top, args)?;
        Ok(output.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
    };
    let tracked =
        names(&["diff", "--no-ext-diff", "--no-color", "--name-only", "--no-renames", "-z", commit])?;
    let others = names(&["ls-files", "--others", "--exclude-standard", "-z"])?;
    Ok(Changed { top, tracked, others })
}

fn ingredients(kind: &ImageType, top: &Path) -> anyhow::Result<Ingredients> {
    let read = || format!("could not read `{}`", kind.template.display());
    let text = std::fs::read_to_string(&kind.template).context(read)?;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let (template, _, _) = parse(&SourceText::new(kind.template.display().to_string(), text.clone()));
    let bundles: BTreeSet<String> = template.bundles().iter().map(|name| name.value.clone()).collect();
    let resolved = definitions(None)?.resolve(bundles.iter().map(String::as_str));
    let directory = kind.template.parent().unwrap_or(Path::new("."));
    let top = top.canonicalize().unwrap_or_else(|_| top.to_owned());
    // Deleted files are resolved through the nearest ancestor that still exists.
    let absolute = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        let there = path.ancestors().find_map(|directory| Some((directory, directory.canonicalize().ok()?)));
        there.map(|(directory, real)| match path.strip_prefix(directory) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => real,
        })
    };
    let in_repository =
        |path: PathBuf| Some(absolute(&path)?.strip_prefix(&top).ok()?.to_string_lossy().into_owned());
    // Words in commands may be file names.
    let named = texts(&value).into_iter().flat_map(words).flat_map(|word| {
        let here =
            ["file://", "$PWD/", "${PWD}/", "$(pwd)/"].iter().find_map(|start| word.strip_prefix(start));
        let path = here.unwrap_or(&word).to_owned();
        [directory.join(&path), PathBuf::from(path)]
    });
    let (directories, files): (Vec<_>, Vec<_>) = named.partition(|path| path.is_dir());
    let own = in_repository(directory.to_owned()).unwrap_or_default();
    Ok(Ingredients {
        bundles: bundles.into_iter().chain(resolved.bundles).collect(),
        files: files.into_iter().filter_map(in_repository).collect(),
        // Ancestors of the type's own directory would match every change.
        directories: directories
            .into_iter()
            .filter_map(in_repository)
            .filter(|path| !Path::new(&own).starts_with(path))
            .chain([own.clone()])
            .collect(),
    })
}

/// A text, and the shell words in it.
fn words(text: &str) -> BTreeSet<String> {
    let bare = text.replace(|c: char| ";&|<>()=`\"'".contains(c), " ");
    let bare = bare.split_whitespace().map(str::to_owned);
    let quoted = shlex::split(text).unwrap_or_default();
    bare.chain(quoted).chain([text.to_owned()]).collect()
}
