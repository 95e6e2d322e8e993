//! Compares an installed tree with its manifests.

use super::hash::{ObjectHash, ObjectKind};
use super::install::TargetTree;
use super::manifest::shown;
use super::merge::MergedNode;
use super::parallel::parallel;
use crate::host::{Context, Failure};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// A difference between a tree and its manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// Path with special bytes escaped by backslashes.
    pub path: String,
    /// `None` if no bundle lists the path.
    pub bundle: Option<String>,
    pub what: DifferenceKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    Missing,
    /// The path has different content or attributes.
    Changed {
        expected: String,
        found: String,
    },
    /// No bundle lists the path.
    Extra,
}

/// Returns missing and changed nodes. `bundle` returns the bundle name of a node.
pub(super) fn differences(
    nodes: &[MergedNode],
    target: &TargetTree,
    bundle: impl Fn(&MergedNode) -> String + Sync,
) -> Result<Vec<Difference>, Failure> {
    const BATCH: usize = 256;
    let batches: Vec<&[MergedNode]> = nodes.chunks(BATCH).collect();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let found = parallel(batches.len(), cores, |index| -> Result<Vec<Difference>, Failure> {
        let mut found = Vec::new();
        for node in batches[index] {
            let there = target
                .hash_of(node.path)
                .context(|| format!("could not read `{}` in the tree", shown(node.path)))?;
            let what = match there {
                None => DifferenceKind::Missing,
                Some((_, hash)) if hash == node.hash => continue,
                Some((attributes, hash)) => DifferenceKind::Changed {
                    expected: format!("{}, hash {}", of_kind(node.kind), node.hash),
                    found: match hash {
                        ObjectHash::NONE => "not a file, directory or link".to_owned(),
                        hash => format!(
                            "{}, mode {:04o}, owner {}:{}, {} bytes, hash {hash}",
                            of_kind(attributes.kind),
                            attributes.mode,
                            attributes.uid,
                            attributes.gid,
                            attributes.size
                        ),
                    },
                },
            };
            found.push(Difference { path: shown(node.path), bundle: Some(bundle(node)), what });
        }
        Ok(found)
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Returns entries below a directory of the tree that are in no manifest. The content of an unlisted directory is not
/// reported.
pub(super) fn extra(
    nodes: &[MergedNode],
    target: &TargetTree,
    below: &str,
) -> Result<Vec<Difference>, Failure> {
    let below = below.trim_matches('/');
    let is_outside = Path::new(below).components().any(|part| !matches!(part, Component::Normal(_)));
    let start = if below.is_empty() { Vec::new() } else { format!("/{below}").into_bytes() };
    if is_outside || target.names(&start).is_err() {
        return Err(Failure::new(format!("`/{below}` is not a directory in the tree"))
            .help("specify a directory in the tree, such as --extra /usr"));
    }
    let mut found = Vec::new();
    let mut todo = vec![start];
    while let Some(directory) = todo.pop() {
        let names = match target.names(&directory) {
            Ok(names) => names,
            // Not a directory, or a link to one.
            Err(Errno::NOTDIR | Errno::LOOP) => continue,
            Err(error) => {
                return Err(error)
                    .context(|| format!("could not read the directory `{}`", shown(&directory)));
            }
        };
        for name in names {
            let path = [&directory[..], b"/", &name].concat();
            match nodes.binary_search_by(|node| node.path.cmp(&path)) {
                Ok(at) if nodes[at].kind == ObjectKind::Directory => todo.push(path),
                Ok(_) => (),
                Err(_) => {
                    found.push(Difference { path: shown(&path), bundle: None, what: DifferenceKind::Extra })
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn of_kind(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::File => "a file",
        ObjectKind::Directory => "a directory",
        ObjectKind::Link => "a link",
    }
}
