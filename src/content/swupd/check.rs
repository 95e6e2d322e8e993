//! An installed tree against the manifests it came from.

use super::hash::{Kind, ObjectHash};
use super::install::Target;
use super::manifest::shown;
use super::merge::Node;
use super::parallel::parallel;
use crate::host::{Context, Failure};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// Where a tree and its manifests differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// As a backslash escapes it.
    pub path: String,
    /// Nothing for what no bundle lists.
    pub bundle: Option<String>,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum What {
    Missing,
    /// Something else is there: what is expected, and what it is.
    Changed {
        expected: String,
        found: String,
    },
    /// No bundle lists it.
    Extra,
}

/// What is missing or another thing; `bundle` names a node's.
pub(super) fn differences(
    nodes: &[Node],
    target: &Target,
    bundle: impl Fn(&Node) -> String + Sync,
) -> Result<Vec<Difference>, Failure> {
    const BATCH: usize = 256;
    let batches: Vec<&[Node]> = nodes.chunks(BATCH).collect();
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let found = parallel(batches.len(), cores, |index| -> Result<Vec<Difference>, Failure> {
        let mut found = Vec::new();
        for node in batches[index] {
            let there = target
                .hash_of(node.path)
                .context(|| format!("could not read `{}` in the tree", shown(node.path)))?;
            let what = match there {
                None => What::Missing,
                Some((_, hash)) if hash == node.hash => continue,
                Some((attributes, hash)) => What::Changed {
                    expected: format!("{}, hash {}", of_kind(node.kind), node.hash),
                    found: match hash {
                        ObjectHash::NONE => "neither file, directory nor link".to_owned(),
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

/// What lies below a directory of the tree and is in no manifest; of a directory that is in none only its own name.
pub(super) fn extra(nodes: &[Node], target: &Target, below: &str) -> Result<Vec<Difference>, Failure> {
    let below = below.trim_matches('/');
    let leads_out = Path::new(below).components().any(|part| !matches!(part, Component::Normal(_)));
    let start = if below.is_empty() { Vec::new() } else { format!("/{below}").into_bytes() };
    if leads_out || target.names(&start).is_err() {
        return Err(Failure::new(format!("`/{below}` is no directory of the tree"))
            .help("name one that is in it, such as --extra /usr"));
    }
    let mut found = Vec::new();
    let mut todo = vec![start];
    while let Some(directory) = todo.pop() {
        let names = match target.names(&directory) {
            Ok(names) => names,
            // A file. A link to a directory is a link.
            Err(Errno::NOTDIR | Errno::LOOP) => continue,
            Err(error) => {
                return Err(error)
                    .context(|| format!("could not read the directory `{}`", shown(&directory)));
            }
        };
        for name in names {
            let path = [&directory[..], b"/", &name].concat();
            match nodes.binary_search_by(|node| node.path.cmp(&path)) {
                Ok(at) if nodes[at].kind == Kind::Directory => todo.push(path),
                Ok(_) => (),
                Err(_) => found.push(Difference { path: shown(&path), bundle: None, what: What::Extra }),
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn of_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Directory => "a directory",
        Kind::Link => "a link",
    }
}
