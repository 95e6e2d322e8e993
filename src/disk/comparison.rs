//! Compares a filesystem's tree with the tree that it was made from, name by name.

use super::bytes::first_difference;
use super::source::{ReadError, Source};
use super::tree::{Body, Node, NodeId, ROOT, Tree};
use super::{fat, read_part, tree::mode};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the filesystem can store besides names, types and sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stores {
    /// It stores owners, permissions, links, devices and extended attributes.
    pub owners: bool,
    /// It is case-sensitive.
    pub case: bool,
    /// It may contain files that the tree does not have, because it was not empty before.
    pub others: bool,
}

/// A file's path from the filesystem's root, and its node in the expected and in the found tree.
pub(super) type Pair = (String, NodeId, NodeId);

/// Compares the trees and returns all regular files of the expected one.
///
/// # Errors
/// The first difference: a path from the filesystem's root, and a description.
pub fn compare(expected: &Tree, found: &Tree, keeps: Stores) -> Result<Vec<Pair>, (String, String)> {
    let mut files = Vec::new();
    let mut waiting = vec![(ROOT, ROOT, String::new())];
    // Hard links of one node must also be hard links of one node in the other tree.
    let mut known: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    while let Some((one, other, path)) = waiting.pop() {
        let (node, there) = (&expected.nodes[one], &found.nodes[other]);
        let is_first = known.insert(one, other).is_none_or(|before| before == other || !keeps.owners);
        if !is_first {
            return Err((path, "not the same file as its other hard links".to_owned()));
        }
        if let Some(what) = node_difference(node, there, keeps, path.is_empty()) {
            return Err((path, what));
        }
        let (Body::Directory(children), Body::Directory(there)) = (&node.body, &there.body) else {
            if matches!(node.body, Body::File(_)) {
                files.push((path, one, other));
            }
            continue;
        };
        let key = |name: &[u8]| if keeps.case { name.to_vec() } else { fat::folded(name) };
        let there: BTreeMap<Vec<u8>, NodeId> = there.iter().map(|(name, id)| (key(name), *id)).collect();
        let names: BTreeSet<Vec<u8>> = children.keys().map(|name| key(name)).collect();
        for (name, child) in children {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            match there.get(&key(name)) {
                Some(id) => waiting.push((*child, *id, path)),
                None => return Err((path, "missing".to_owned())),
            }
        }
        let extra = there.keys().find(|name| {
            !(keeps.others || names.contains(*name) || path.is_empty() && *name == b"lost+found")
        });
        if let Some(name) = extra {
            let path = format!("{path}/{}", String::from_utf8_lossy(name));
            return Err((path, "not in the tree".to_owned()));
        }
    }
    Ok(files)
}

fn node_difference(node: &Node, there: &Node, keeps: Stores, is_root: bool) -> Option<String> {
    let kind = |node: &Node| match node.mode & mode::TYPE {
        mode::DIRECTORY => "a directory",
        mode::FILE => "a file",
        mode::LINK => "a link",
        mode::CHR => "a character device",
        mode::BLK => "a block device",
        mode::FIFO => "a FIFO",
        mode::SOCKET => "a socket",
        _ => "of an unknown type",
    };
    if kind(node) != kind(there) {
        return Some(format!("is {}, expected {}", kind(there), kind(node)));
    }
    if matches!(node.body, Body::File(_)) && node.size != there.size {
        return Some(format!("has {} bytes, expected {}", there.size, node.size));
    }
    if !keeps.owners {
        return None;
    }
    match (&node.body, &there.body) {
        (Body::Link(target), Body::Link(other)) if target != other => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            return Some(format!("target is `{}`, expected `{}`", text(other), text(target)));
        }
        (Body::Device { major, minor }, Body::Device { major: other_major, minor: other_minor })
            if (major, minor) != (other_major, other_minor) =>
        {
            return Some(format!("is device {other_major}:{other_minor}, expected {major}:{minor}"));
        }
        _ => {}
    }
    // mkfs sets the attributes of the root directory itself unless a source directory was passed to it.
    if !is_root && (node.uid, node.gid, node.mode) != (there.uid, there.gid, there.mode) {
        let text = |node: &Node| format!("{}:{} {:o}", node.uid, node.gid, node.mode & !mode::TYPE);
        return Some(format!("is {}, expected {}", text(there), text(node)));
    }
    node.attributes.iter().find(|(name, value)| there.attributes.get(*name) != Some(*value)).map(
        |(name, _)| format!("extended attribute `{}` is missing or different", String::from_utf8_lossy(name)),
    )
}

/// The first file whose contents differ. `paths`: the host's files, indexed by node of the expected tree.
pub fn content_difference<P: AsRef<Path>>(
    files: Vec<Pair>,
    paths: &[P],
    found: &Tree,
    source: &dyn Source,
) -> Result<Option<(String, String)>, ReadError> {
    const PIECE: u64 = 1 << 20;
    for (path, id, there) in files {
        let size = found.nodes[there].size;
        let host = File::open(paths[id].as_ref()).map_err(|error| ReadError::Io { at: 0, error })?;
        for start in (0..size).step_by(PIECE as usize) {
            let range = start..size.min(start + PIECE);
            let held = read_part(source, &found.nodes[there], range.clone())?;
            let whole = read_host(&host, &range).map_err(|error| ReadError::Io { at: start, error })?;
            if held.len() != whole.len() {
                return Ok(Some((path, format!("ends at byte {}", start + held.len() as u64))));
            }
            if let Some(at) = first_difference(&held, &whole) {
                return Ok(Some((path, format!("content differs at byte {}", start + at as u64))));
            }
        }
    }
    Ok(None)
}

fn read_host(file: &File, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scan::survey;
    use std::fs;

    #[test]
    fn every_difference_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/f"), "12345").unwrap();
        fs::hard_link(root.join("d/f"), root.join("g")).unwrap();
        std::os::unix::fs::symlink("d", root.join("l")).unwrap();
        let good = survey(root, 0).unwrap().tree;
        let all = Stores { owners: true, case: true, others: false };
        let id = |path: &str| good.find_nofollow(path).unwrap();
        let check = |keeps: Stores, change: &dyn Fn(&mut Tree), expect: Option<(&str, &str)>| {
            let mut found = good.clone();
            change(&mut found);
            let message = compare(&good, &found, keeps).err();
            assert_eq!(message.as_ref().map(|(path, what)| (path.as_str(), what.as_str())), expect);
        };
        check(all, &|_| {}, None);
        let remove = |tree: &mut Tree, directory: NodeId, name: &[u8]| {
            let Body::Directory(children) = &mut tree.nodes[directory].body else { panic!() };
            children.remove(name).unwrap();
        };
        check(all, &|tree| remove(tree, id("/d"), b"f"), Some(("/d/f", "missing")));
        check(all, &|tree| tree.nodes[id("/g")].size = 4, Some(("/g", "has 4 bytes, expected 5")));
        let add = |tree: &mut Tree, name: &[u8], node: NodeId| {
            let Body::Directory(children) = &mut tree.nodes[ROOT].body else { panic!() };
            children.insert(name.to_vec(), node);
        };
        check(all, &|tree| add(tree, b"x", id("/g")), Some(("/x", "not in the tree")));
        check(all, &|tree| add(tree, b"lost+found", id("/d")), None);
        check(Stores { owners: true, case: true, others: true }, &|tree| add(tree, b"x", id("/g")), None);
        check(all, &|tree| add(tree, b"l", id("/g")), Some(("/l", "is a file, expected a link")));
        let target = |tree: &mut Tree| tree.nodes[id("/l")].body = Body::Link(b"e".to_vec());
        check(all, &target, Some(("/l", "target is `e`, expected `d`")));
        check(
            Stores { owners: false, case: true, others: false },
            &|tree| tree.nodes[id("/d")].uid = 9,
            None,
        );
        let upper = |tree: &mut Tree| {
            remove(tree, ROOT, b"d");
            add(tree, b"D", id("/d"));
        };
        check(all, &upper, Some(("/d", "missing")));
        check(Stores { owners: false, case: false, others: false }, &upper, None);
        let twin = |tree: &mut Tree| {
            let copy = tree.nodes[id("/g")].clone();
            tree.nodes.push(copy);
            let last = tree.nodes.len() - 1;
            add(tree, b"g", last);
        };
        check(all, &twin, Some(("/d/f", "not the same file as its other hard links")));
    }
}
