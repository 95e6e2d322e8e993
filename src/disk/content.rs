//! File contents and path lookup.

use super::source::{ReadError, Source};
use super::tree::{Body, Content, Node, NodeId, PATH_MAX, ROOT, Tree};
use std::collections::HashSet;
use std::ops::Range;

/// A path with more symbolic links than this is treated as a loop. Source: path_resolution(7).
const MOST_LINKS: usize = 40;

impl Tree {
    /// Looks up an absolute path. Symbolic links are resolved inside the tree, as on the running system.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        self.walk(path.as_bytes(), true, MOST_LINKS)
    }

    /// Same as [`Tree::find`], but does not follow a symbolic link in the last component.
    pub fn find_nofollow(&self, path: &str) -> Option<NodeId> {
        self.walk(path.as_bytes(), false, MOST_LINKS)
    }

    fn walk(&self, path: &[u8], follow_last: bool, mut links: usize) -> Option<NodeId> {
        // The directories passed so far, for `..`.
        let mut parents = vec![ROOT];
        let mut rest: Vec<Vec<u8>> = parts(path);
        while let Some(part) = rest.pop() {
            match part.as_slice() {
                b"." => continue,
                b".." => {
                    if parents.len() > 1 {
                        parents.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let here = *parents.last().expect("the root is never popped");
            let Body::Directory(entries) = &self.nodes.get(here)?.body else { return None };
            let next = *entries.get(&part)?;
            match &self.nodes.get(next)?.body {
                Body::Link(target) if follow_last || !rest.is_empty() => {
                    links = links.checked_sub(1)?;
                    if target.starts_with(b"/") {
                        parents.truncate(1);
                    }
                    rest.extend(parts(target));
                }
                _ => parents.push(next),
            }
        }
        parents.last().copied()
    }

    /// Fails if a path is longer than [`PATH_MAX`].
    pub(super) fn check_depth(&self) -> Result<(), ReadError> {
        let mut entered = HashSet::from([ROOT]);
        let mut open = vec![(0, ROOT)];
        while let Some((length, id)) = open.pop() {
            let Some(Body::Directory(entries)) = self.nodes.get(id).map(|node| &node.body) else { continue };
            for (name, child) in entries {
                let length = length + 1 + name.len();
                if length >= PATH_MAX {
                    let name = String::from_utf8_lossy(name);
                    return Err(ReadError::Unsupported(format!(
                        "the path to `{name}` (inode {}) is longer than {} bytes",
                        self.nodes.get(*child).map_or(0, |node| node.number),
                        PATH_MAX - 1
                    )));
                }
                if entered.insert(*child) {
                    open.push((length, *child));
                }
            }
        }
        Ok(())
    }

    /// All paths with their nodes, sorted by name; a directory comes before its entries. Every directory is entered
    /// only once, even if it contains itself.
    pub fn paths(&self) -> Vec<(Vec<u8>, NodeId)> {
        let mut found = Vec::new();
        let mut entered = HashSet::from([ROOT]);
        let mut open = vec![(Vec::new(), ROOT)];
        while let Some((path, id)) = open.pop() {
            if let Some(Body::Directory(entries)) = self.nodes.get(id).map(|node| &node.body) {
                for (name, child) in entries.iter().rev() {
                    let mut path = path.clone();
                    path.push(b'/');
                    path.extend(name);
                    let directory =
                        matches!(self.nodes.get(*child).map(|n| &n.body), Some(Body::Directory(_)));
                    if !directory || entered.insert(*child) {
                        open.push((path, *child));
                    }
                }
            }
            if id != ROOT || !path.is_empty() {
                found.push((path, id));
            }
        }
        found
    }
}

/// The components in reverse order, so that they can be popped.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).rev().map(<[u8]>::to_vec).collect()
}

/// Reads at most `limit` bytes from the start of a file. Holes read as zeros.
pub fn read_file(source: &dyn Source, node: &Node, limit: u64) -> Result<Vec<u8>, ReadError> {
    read_part(source, node, 0..limit)
}

/// Reads a range of a file, up to the file's end. Callers limit the length.
pub fn read_part(source: &dyn Source, node: &Node, range: Range<u64>) -> Result<Vec<u8>, ReadError> {
    let Body::File(content) = &node.body else {
        return Err(ReadError::Unsupported("not a regular file".to_owned()));
    };
    let end = range.end.min(node.size);
    let start = range.start.min(end);
    let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
    // The position in `bytes` of a part of the file, and the number of its bytes that are before the range.
    let place = |at: u64, length: u64| {
        let (from, to) = (at.max(start), at.saturating_add(length).min(end));
        (from < to).then(|| ((from - start) as usize..(to - start) as usize, from - at))
    };
    match content {
        Content::Inline(inline) => {
            if let Some((place, before)) = place(0, inline.len() as u64) {
                let part = &inline[before as usize..][..place.len()];
                bytes[place].copy_from_slice(part);
            }
        }
        Content::Unreadable(reason) => return Err(ReadError::Unsupported(reason.clone())),
        Content::Extents(extents) => {
            for extent in extents {
                if let Some((place, before)) = place(extent.at, extent.length) {
                    let at = extent.from + before;
                    let read = source.read_at(&mut bytes[place], at);
                    read.map_err(|error| ReadError::Io { at, error })?;
                }
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Time;
    use super::*;
    use crate::disk::scan;
    use std::collections::BTreeMap;

    #[test]
    fn too_long_paths_are_rejected() {
        let directory = |entries| Node {
            number: 0,
            mode: 0o040_755,
            uid: 0,
            gid: 0,
            links: 2,
            size: 0,
            accessed: Time::default(),
            modified: Time::default(),
            changed: Time::default(),
            created: None,
            attributes: BTreeMap::new(),
            body: Body::Directory(entries),
        };
        // Each directory is inside the one before. Every level adds 2 bytes to the path.
        let deep = |count: usize| Tree {
            nodes: (0..count)
                .map(|id| directory((id + 1 < count).then(|| (b"d".to_vec(), id + 1)).into_iter().collect()))
                .collect(),
        };
        assert!(deep(PATH_MAX / 2).check_depth().is_ok());
        assert!(deep(PATH_MAX / 2 + 1).check_depth().is_err());
    }

    #[test]
    fn links_are_resolved_inside_the_tree() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("usr/lib/modules")).unwrap();
        std::os::unix::fs::symlink("usr/lib", at("lib")).unwrap();
        std::os::unix::fs::symlink("/lib/modules", at("usr/lib/absolute")).unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        std::fs::write(at("usr/lib/modules/a"), "text").unwrap();
        let scan = scan(directory.path(), i64::MAX).unwrap();
        let tree = &scan.tree;
        let direct = tree.find("/usr/lib/modules/a").unwrap();
        assert_eq!(tree.find("/lib/modules/a"), Some(direct));
        assert_eq!(tree.find("/lib/absolute/a"), Some(direct));
        assert_eq!(tree.find("/lib/../../../usr/lib/modules/a"), Some(direct));
        assert_eq!(tree.find("/loop"), None);
        assert_ne!(tree.find_nofollow("/lib"), tree.find("/lib"));
        let paths: Vec<String> =
            tree.paths().into_iter().map(|(path, _)| String::from_utf8(path).unwrap()).collect();
        assert_eq!(
            paths,
            [
                "/lib",
                "/loop",
                "/usr",
                "/usr/lib",
                "/usr/lib/absolute",
                "/usr/lib/modules",
                "/usr/lib/modules/a"
            ]
        );
    }
}
