//! The bytes of files, and finding files by path.

use super::source::{ReadError, Source};
use super::tree::{Body, Content, Node, NodeId, ROOT, Tree};
use std::collections::HashSet;

/// More symbolic links than this on one path are a loop. Source: path_resolution(7).
const MOST_LINKS: usize = 40;

impl Tree {
    /// The node at an absolute path; symbolic links are followed as the system itself would follow them.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        self.walk(path.as_bytes(), true, MOST_LINKS)
    }

    /// The same without following a link at the path's end.
    pub fn find_itself(&self, path: &str) -> Option<NodeId> {
        self.walk(path.as_bytes(), false, MOST_LINKS)
    }

    fn walk(&self, path: &[u8], follow_last: bool, mut links: usize) -> Option<NodeId> {
        // Folders on the way, for `..`.
        let mut way = vec![ROOT];
        let mut rest: Vec<Vec<u8>> = parts(path);
        while let Some(part) = rest.pop() {
            match part.as_slice() {
                b"." => continue,
                b".." => {
                    if way.len() > 1 {
                        way.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let here = *way.last().expect("the root stays");
            let Body::Folder(entries) = &self.nodes.get(here)?.body else { return None };
            let next = *entries.get(&part)?;
            match &self.nodes.get(next)?.body {
                Body::Link(target) if follow_last || !rest.is_empty() => {
                    links = links.checked_sub(1)?;
                    if target.starts_with(b"/") {
                        way.truncate(1);
                    }
                    rest.extend(parts(target));
                }
                _ => way.push(next),
            }
        }
        way.last().copied()
    }

    /// Every name with its node, folders before what is in them, in the order of names. A folder that contains itself is
    /// entered once.
    pub fn paths(&self) -> Vec<(Vec<u8>, NodeId)> {
        let mut found = Vec::new();
        let mut entered = HashSet::from([ROOT]);
        let mut open = vec![(Vec::new(), ROOT)];
        while let Some((path, id)) = open.pop() {
            if let Some(Body::Folder(entries)) = self.nodes.get(id).map(|node| &node.body) {
                for (name, child) in entries.iter().rev() {
                    let mut path = path.clone();
                    path.push(b'/');
                    path.extend(name);
                    let folder = matches!(self.nodes.get(*child).map(|n| &n.body), Some(Body::Folder(_)));
                    if !folder || entered.insert(*child) {
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

/// In reverse, to be taken from the end.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).rev().map(<[u8]>::to_vec).collect()
}

/// The first bytes of a file, at most `limit`; what no extent has reads as zeros.
pub fn read_file(source: &dyn Source, node: &Node, limit: u64) -> Result<Vec<u8>, ReadError> {
    let Body::File(content) = &node.body else {
        return Err(ReadError::Unsupported("it is no file".to_owned()));
    };
    let length = node.size.min(limit);
    match content {
        Content::Inline(bytes) => {
            let mut bytes = bytes.clone();
            bytes.resize(length as usize, 0);
            Ok(bytes)
        }
        Content::Unreadable(reason) => Err(ReadError::Unsupported(reason.clone())),
        Content::Extents(extents) => {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            for extent in extents.iter().filter(|extent| extent.at < length) {
                let count = extent.length.min(length - extent.at) as usize;
                let start = extent.at as usize;
                source
                    .read_at(&mut bytes[start..start + count], extent.from)
                    .map_err(|error| ReadError::Io { at: extent.from, error })?;
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::filesystem::scan;

    #[test]
    fn links_are_followed_inside() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("usr/lib/modules")).unwrap();
        std::os::unix::fs::symlink("usr/lib", at("lib")).unwrap();
        std::os::unix::fs::symlink("/lib/modules", at("usr/lib/absolute")).unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        std::fs::write(at("usr/lib/modules/a"), "text").unwrap();
        let scan = scan(folder.path(), i64::MAX).unwrap();
        let tree = &scan.tree;
        let direct = tree.find("/usr/lib/modules/a").unwrap();
        assert_eq!(tree.find("/lib/modules/a"), Some(direct));
        assert_eq!(tree.find("/lib/absolute/a"), Some(direct));
        assert_eq!(tree.find("/lib/../../../usr/lib/modules/a"), Some(direct));
        assert_eq!(tree.find("/loop"), None);
        assert_ne!(tree.find_itself("/lib"), tree.find("/lib"));
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
