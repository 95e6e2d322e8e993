//! The directory that paths in reports are relative to.

use crate::report::SourceRoot;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// The root of the repository that contains the current directory, else the GitHub workspace, else the current
/// directory.
pub(super) fn source_root() -> anyhow::Result<SourceRoot> {
    let current = std::env::current_dir().context("could not find the current directory")?;
    let repository = current.ancestors().find(|directory| directory.join(".git").exists());
    let root = match repository {
        Some(directory) => directory.to_owned(),
        None => workspace(&current).unwrap_or_else(|| current.clone()),
    };
    Ok(SourceRoot::new(root, current, |directory| directory.canonicalize().ok()))
}

/// The GitHub workspace. It matters because `actions/checkout` creates no `.git` on machines without git. Source:
/// GitHub Docs, "Variables reference".
fn workspace(current: &Path) -> Option<PathBuf> {
    let workspace = Path::new(&std::env::var_os("GITHUB_WORKSPACE")?).canonicalize().ok()?;
    current.starts_with(&workspace).then_some(workspace)
}
