//! Merges the files of several bundles into one tree. Pure.
//!
//! Identical entries are merged into one. Conflicting entries, and entries without a parent directory, are errors;
//! upstream's client silently skips them.

use super::closure::Loaded;
use super::hash::{ObjectHash, ObjectKind};
use super::manifest::shown;
use std::fmt;

/// An entry of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MergedNode<'m> {
    pub path: &'m [u8],
    pub kind: ObjectKind,
    pub hash: ObjectHash,
    /// The version whose directory on the mirror contains the tar of the object.
    pub version: u32,
    /// Index in the closure of the bundle that the entry is installed for.
    pub bundle: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum MergeError {
    Conflict(Box<Conflict>),
    NoDirectory { path: Vec<u8>, bundle: String, parent: Vec<u8>, is_listed: bool },
}

/// A path with different objects in two bundles.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub path: Vec<u8>,
    pub sides: [(String, ObjectHash); 2],
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeError::Conflict(conflict) => {
                let [(one, _), (other, _)] = &conflict.sides;
                let path = shown(&conflict.path);
                match one == other {
                    true => write!(f, "bundle `{one}` lists `{path}` twice with different content"),
                    false => write!(f, "conflict between bundles `{one}` and `{other}`: `{path}`"),
                }
            }
            MergeError::NoDirectory { path, bundle, parent, is_listed: false } => write!(
                f,
                "`{}` of bundle `{bundle}` is in `{}`, which no bundle lists",
                shown(path),
                shown(parent)
            ),
            MergeError::NoDirectory { path, bundle, parent, is_listed: true } => write!(
                f,
                "`{}` of bundle `{bundle}` is in `{}`, which is not a directory",
                shown(path),
                shown(parent)
            ),
        }
    }
}

/// Merges the files of all bundles, sorted by path bytes, so that directories precede their entries.
pub(super) fn merge(bundles: &[Loaded]) -> Result<Vec<MergedNode<'_>>, MergeError> {
    let mut all: Vec<MergedNode> = Vec::with_capacity(bundles.iter().map(|b| b.manifest.files.len()).sum());
    for (bundle, Loaded { manifest, .. }) in bundles.iter().enumerate() {
        all.extend(manifest.files.iter().map(|line| MergedNode {
            path: manifest.path(line),
            kind: line.kind,
            hash: line.hash,
            version: line.version,
            bundle,
        }));
    }
    // The oldest version of an object is kept, because only its directory is certain to contain the tar.
    all.sort_by_key(|node| (node.path, node.version, node.bundle));
    let conflicts = |one: &MergedNode, other: &MergedNode| {
        one.path == other.path && (one.hash, one.kind) != (other.hash, other.kind)
    };
    if let Some([one, other]) = all.windows(2).find_map(|pair| match pair {
        [one, other] if conflicts(one, other) => Some([one, other]),
        _ => None,
    }) {
        let side = |node: &MergedNode| (bundles[node.bundle].line.name.to_string(), node.hash);
        return Err(MergeError::Conflict(Box::new(Conflict {
            path: one.path.to_vec(),
            sides: [side(one), side(other)],
        })));
    }
    all.dedup_by_key(|node| node.path);
    let nodes = all;
    for node in &nodes {
        let parent = parent(node.path);
        if parent.is_empty() {
            continue;
        }
        let found = nodes.binary_search_by(|other| other.path.cmp(parent)).ok().map(|at| nodes[at].kind);
        if found != Some(ObjectKind::Directory) {
            return Err(MergeError::NoDirectory {
                path: node.path.to_vec(),
                bundle: bundles[node.bundle].line.name.to_string(),
                parent: parent.to_vec(),
                is_listed: found.is_some(),
            });
        }
    }
    Ok(nodes)
}

/// Returns the parent directory of a path without a trailing slash, or an empty path for the root.
pub(super) fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &path[..slash]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::swupd::manifest::{Bundle, BundleLine, BundleName};
    use proptest::prelude::*;

    fn bundle(name: &str, lines: &[(char, u8, u32, &str)]) -> Loaded {
        let body: String = lines
            .iter()
            .map(|(kind, hash, version, path)| {
                format!("{kind}...\t{}\t{version}\t{path}\n", format!("{hash:02x}").repeat(32))
            })
            .collect();
        Loaded {
            line: BundleLine {
                name: BundleName::parse(name).unwrap(),
                hash: ObjectHash::NONE,
                version: 10,
                experimental: false,
            },
            manifest: Bundle::parse(format!("MANIFEST\t30\n\n{body}").into_bytes()).unwrap(),
        }
    }

    #[test]
    fn shared_entries_are_merged_with_the_oldest_version() {
        let bundles = [
            bundle("a", &[('D', 1, 20, "/d"), ('F', 2, 30, "/d/x"), ('F', 3, 10, "/d-e")]),
            bundle("b", &[('D', 1, 10, "/d"), ('F', 2, 20, "/d/x")]),
        ];
        let merged = merge(&bundles).unwrap();
        let listed: Vec<_> = merged.iter().map(|n| (shown(n.path), n.version, n.bundle)).collect();
        assert_eq!(
            listed,
            [("/d".to_owned(), 10, 1), ("/d-e".to_owned(), 10, 0), ("/d/x".to_owned(), 20, 1)]
        );
    }

    #[test]
    fn conflicts_are_reported() {
        let error = |bundles: &[Loaded]| merge(bundles).unwrap_err().to_string();
        let a = bundle("a", &[('D', 1, 10, "/d"), ('L', 2, 10, "/l")]);
        assert_eq!(
            error(&[a, bundle("b", &[('D', 9, 10, "/d")])]),
            "conflict between bundles `a` and `b`: `/d`"
        );
        assert_eq!(
            error(&[bundle("a", &[('F', 1, 10, "/x"), ('F', 2, 20, "/x")])]),
            "bundle `a` lists `/x` twice with different content"
        );
        assert!(error(&[bundle("a", &[('F', 1, 10, "/d/x")])]).ends_with("`/d`, which no bundle lists"));
        assert!(
            error(&[bundle("a", &[('L', 1, 10, "/l"), ('F', 2, 10, "/l/x")])])
                .ends_with("is not a directory")
        );
        // An object cannot have two kinds.
        assert!(merge(&[bundle("a", &[('F', 1, 10, "/x")]), bundle("b", &[('D', 1, 10, "/x")])]).is_err());
    }

    proptest! {
        /// For arbitrary lists: distinct paths, parents first, and independence of the order.
        #[test]
        fn result_is_independent_of_bundle_order(
            picks in proptest::collection::vec((0usize..3, 0usize..6), 0..40)
        ) {
            const PATHS: [&str; 6] = ["/d", "/d/a", "/d/b", "/d-x", "/e", "/e/f"];
            let mut lists: Vec<Vec<(char, u8, u32, &str)>> = vec![Vec::new(); 3];
            for (owner, pick) in picks {
                let kind = if matches!(PATHS[pick], "/d" | "/e") { 'D' } else { 'F' };
                if !lists[owner].iter().any(|line| line.3 == PATHS[pick]) {
                    lists[owner].push((kind, pick as u8 + 1, 10 * (owner as u32 + 1), PATHS[pick]));
                }
            }
            let forth: Vec<Loaded> = lists.iter().map(|list| bundle("x", list)).collect();
            let back: Vec<Loaded> = lists.iter().rev().map(|list| bundle("x", list)).collect();
            let strip = |merged: Result<Vec<MergedNode>, MergeError>| {
                merged.ok().map(|nodes| nodes.iter().map(|n| (n.path.to_vec(), n.version)).collect::<Vec<_>>())
            };
            let (forth, back) = (strip(merge(&forth)), strip(merge(&back)));
            prop_assert_eq!(&forth, &back);
            for pair in forth.unwrap_or_default().windows(2) {
                prop_assert!(pair[0].0 < pair[1].0);
            }
        }
    }
}
