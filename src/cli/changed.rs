//! What a git range touches.

use super::console::Console;
use super::input::definitions;
use crate::image::sha256;
use crate::template::{SourceText, parse};
use crate::tool::{Context, Failure, Invocation};
use crate::trial::{ImageType, Ingredients, texts, touched};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Those types of a folder that a change since a commit touches; which path does it is said.
pub fn changed_since(
    base: &str,
    folder: &Path,
    types: Vec<ImageType>,
    console: &Console,
) -> anyhow::Result<Vec<ImageType>> {
    let changed = changed_paths(folder, base)?;
    let mut kept = Vec::new();
    for kind in types {
        if let Some(path) = touched(&ingredients(&kind, &changed.top)?, &changed.paths) {
            console.say(&format!("ister: {}: `{path}` has changed", kind.name));
            kept.push(kind);
        }
    }
    Ok(kept)
}

/// What differs from a commit, what is not committed yet included.
struct Changed {
    /// The repository's top folder.
    top: PathBuf,
    paths: Vec<String>,
}

fn git(folder: &Path, args: &[&str]) -> Result<String, Failure> {
    let finished = crate::tool::run(&Invocation::new("git").arg("-C").arg(folder).args(args))?;
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}

/// The commit of the types' folder, if it is in a git repository; with `+` and a hash of what is not committed.
pub fn revision(folder: &Path) -> Option<String> {
    crate::tool::find_program("git")?;
    let commit = git(folder, &["rev-parse", "--verify", "HEAD"]).ok()?.trim().to_owned();
    let tracked = git(folder, &["diff", "--binary", "HEAD"]).ok()?;
    // Only types: results may be written elsewhere in the repository.
    let others = git(folder, &["ls-files", "--others", "--exclude-standard", "-z"]).ok()?;
    if tracked.is_empty() && others.is_empty() {
        return Some(commit);
    }
    let mut hash = Sha256::new_with_prefix(&tracked);
    for name in others.split_terminator('\0') {
        let path = folder.join(name);
        // One that is gone by now, or is a pipe, has no content.
        let content = path.is_file().then(|| sha256(&path).ok()).flatten();
        hash.update(format!("{name}\0{}\0", content.unwrap_or_default()));
    }
    let hash: String = hash.finalize()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!("{commit}+{hash}"))
}

fn changed_paths(folder: &Path, base: &str) -> Result<Changed, Failure> {
    let context =
        |failure: Failure| failure.context(format!("could not see what has changed since `{base}`"));
    let top = git(folder, &["rev-parse", "--show-toplevel"]).map_err(context)?;
    let top = PathBuf::from(top.trim_end_matches('\n'));
    let fork = git(&top, &["merge-base", "--end-of-options", base, "HEAD"]).map_err(context)?;
    let tracked = git(&top, &["diff", "--name-only", "--no-renames", "-z", fork.trim()]).map_err(context)?;
    let others = git(&top, &["ls-files", "--others", "--exclude-standard", "-z"]).map_err(context)?;
    let paths = tracked.split('\0').chain(others.split('\0'));
    Ok(Changed { top, paths: paths.filter(|path| !path.is_empty()).map(str::to_owned).collect() })
}

fn ingredients(kind: &ImageType, top: &Path) -> anyhow::Result<Ingredients> {
    let read = || format!("could not read `{}`", kind.template.display());
    let text = std::fs::read_to_string(&kind.template).context(read)?;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let (template, _, _) = parse(&SourceText::new(kind.template.display().to_string(), text.clone()));
    let bundles: BTreeSet<String> = template.bundles().iter().map(|name| name.value.clone()).collect();
    let resolved = definitions(None)?.resolve(bundles.iter().map(String::as_str));
    let folder = kind.template.parent().unwrap_or(Path::new("."));
    let top = top.canonicalize().unwrap_or_else(|_| top.to_owned());
    // What is gone has a name too, with the folders that it was in.
    let absolute = |path: &Path| {
        let path = std::path::absolute(path).ok()?;
        let there = path.ancestors().find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
        there.map(|(folder, real)| match path.strip_prefix(folder) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => real,
        })
    };
    let in_repository =
        |path: PathBuf| Some(absolute(&path)?.strip_prefix(&top).ok()?.to_string_lossy().into_owned());
    // A command's words are names too.
    let words = texts(&value).into_iter().flat_map(|text| {
        let words = shlex::split(text).unwrap_or_default();
        words.into_iter().chain([text.to_owned()]).collect::<BTreeSet<_>>()
    });
    let named = words.flat_map(|word| {
        let path = word.strip_prefix("file://").unwrap_or(&word).to_owned();
        [folder.join(&path), PathBuf::from(path)]
    });
    let (folders, files): (Vec<_>, Vec<_>) = named.partition(|path| path.is_dir());
    let own = in_repository(folder.to_owned()).unwrap_or_default();
    Ok(Ingredients {
        bundles: bundles.into_iter().chain(resolved.bundles).collect(),
        files: files.into_iter().filter_map(in_repository).collect(),
        // The repository itself says nothing.
        folders: folders
            .into_iter()
            .filter_map(in_repository)
            .chain([own])
            .filter(|path| !path.is_empty())
            .collect(),
    })
}
