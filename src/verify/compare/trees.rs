//! Compares two trees: their files, and the attributes and contents of these.

use super::images::{Difference, Identities};
use super::packages::{self, STATUS};
use crate::disk::{Body, Content, Node, NodeId, Source, Time, Tree, first_difference, merged, read_part};
use crate::host::with_causes;
use std::collections::BTreeMap;
use std::ops::Range;

/// The tree of a filesystem, and the source of its file contents.
pub(super) struct Side<'a> {
    pub tree: &'a Tree,
    pub source: &'a dyn Source,
}

/// Returns at most `most` differences between files and directories. The path and field of each are appended to `place`.
pub(super) fn compare(
    place: &[String],
    a: &Side,
    b: &Side,
    identities: &Identities,
    most: usize,
) -> Vec<Difference> {
    let (left, right) = (names(a.tree), names(b.tree));
    let mut found = Vec::new();
    let mut all: Vec<&Vec<u8>> = left.keys().chain(right.keys()).collect();
    all.sort();
    all.dedup();
    for path in all {
        if found.len() >= most {
            break;
        }
        let shown = String::from_utf8_lossy(path).into_owned();
        let mut difference = |field: &str, a: String, b: String| {
            let mut place = place.to_vec();
            place.extend([shown.clone(), field.to_owned()]);
            found.push(Difference { place, a, b, is_identity: false });
        };
        match (left.get(path), right.get(path)) {
            (Some(_), None) => difference("entry", "present".to_owned(), "missing".to_owned()),
            (None, Some(_)) => difference("entry", "missing".to_owned(), "present".to_owned()),
            (Some(one), Some(other)) => {
                let (one, other) = (&a.tree.nodes[*one], &b.tree.nodes[*other]);
                nodes(one, other, &mut difference);
                if let Some((x, y)) = contents(one, other, a.source, b.source) {
                    difference("content", x, y);
                    let is_same = is_same_but_for(identities, (one, a.source), (other, b.source));
                    found.last_mut().expect("a difference was just pushed").is_identity = is_same;
                }
            }
            (None, None) => {}
        }
    }
    found
}

/// Compares the packages of two root filesystems.
pub(super) fn packages(a: &Side, b: &Side) -> Vec<Difference> {
    let status = |side: &Side| {
        let node = &side.tree.nodes[side.tree.find(STATUS)?];
        let bytes = read_part(side.source, node, 0..LONGEST_TEXT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    match (status(a), status(b)) {
        (Some(x), Some(y)) if x != y => packages::compare(&x, &y),
        _ => Vec::new(),
    }
}

/// The maximum size of the package database, in bytes.
const LONGEST_TEXT: u64 = 32 << 20;
/// Larger files are not searched for identifiers, in bytes.
const SMALL: u64 = 1 << 20;

/// Whether two files are identical after the identifiers of one image are replaced by those of the other.
fn is_same_but_for(identities: &Identities, a: (&Node, &dyn Source), b: (&Node, &dyn Source)) -> bool {
    let text = |(node, source): (&Node, &dyn Source)| {
        let bytes = read_part(source, node, 0..node.size).ok().filter(|_| node.size <= SMALL)?;
        String::from_utf8(bytes).ok()
    };
    let is_small = a.0.size <= SMALL && b.0.size <= SMALL;
    let (Some(mut x), Some(y)) = (is_small.then(|| text(a)).flatten(), is_small.then(|| text(b)).flatten())
    else {
        return false;
    };
    for (one, other) in identities {
        x = x.replace(one.as_str(), other).replace(&one.to_lowercase(), &other.to_lowercase());
        x = x.replace(&one.to_uppercase(), &other.to_uppercase());
    }
    x == y
}

fn names(tree: &Tree) -> BTreeMap<Vec<u8>, NodeId> {
    let mut names: BTreeMap<_, _> = tree.paths().into_iter().collect();
    if !tree.nodes.is_empty() {
        names.insert(b"/".to_vec(), 0);
    }
    names
}

fn nodes(a: &Node, b: &Node, difference: &mut dyn FnMut(&str, String, String)) {
    let time = |time: Time| format!("{}.{:09}", time.seconds, time.nanoseconds);
    let created = |node: &Node| node.created.map_or("none".to_owned(), time);
    let fields: [(&str, String, String); 9] = [
        ("mode", format!("{:07o}", a.mode), format!("{:07o}", b.mode)),
        ("owner", a.uid.to_string(), b.uid.to_string()),
        ("group", a.gid.to_string(), b.gid.to_string()),
        ("links", a.links.to_string(), b.links.to_string()),
        ("size", a.size.to_string(), b.size.to_string()),
        ("access time", time(a.accessed), time(b.accessed)),
        ("modification time", time(a.modified), time(b.modified)),
        ("change time", time(a.changed), time(b.changed)),
        ("creation time", created(a), created(b)),
    ];
    for (field, x, y) in fields {
        if x != y {
            difference(field, x, y);
        }
    }
    if a.number != b.number {
        difference("inode number", a.number.to_string(), b.number.to_string());
    }
    match (&a.body, &b.body) {
        (Body::Link(x), Body::Link(y)) if x != y => {
            difference(
                "target",
                String::from_utf8_lossy(x).into_owned(),
                String::from_utf8_lossy(y).into_owned(),
            );
        }
        (Body::Device { major, minor }, Body::Device { major: other, minor: minor2 })
            if (major, minor) != (other, minor2) =>
        {
            difference("device", format!("{major}:{minor}"), format!("{other}:{minor2}"));
        }
        _ => {}
    }
    let mut attributes: Vec<&Vec<u8>> = a.attributes.keys().chain(b.attributes.keys()).collect();
    attributes.sort();
    attributes.dedup();
    for name in attributes {
        let (x, y) = (a.attributes.get(name), b.attributes.get(name));
        if x != y {
            let shown = |value: Option<&Vec<u8>>| {
                value.map_or("none".to_owned(), |value| {
                    value.iter().map(|byte| format!("{byte:02x}")).collect()
                })
            };
            difference(&format!("attribute {}", String::from_utf8_lossy(name)), shown(x), shown(y));
        }
    }
}

/// Files are compared in pieces of this size, in bytes.
const PIECE: u64 = 4 << 20;

/// Finds the first differing byte of two files. Holes that both files have are not read.
fn contents(a: &Node, b: &Node, left: &dyn Source, right: &dyn Source) -> Option<(String, String)> {
    let (Body::File(one), Body::File(other)) = (&a.body, &b.body) else { return None };
    let end = a.size.min(b.size).max(1);
    for held in merged([held(one), held(other)].concat()) {
        for start in (held.start..held.end.min(end)).step_by(PIECE as usize) {
            let piece = start..(start + PIECE).min(held.end).min(end);
            let read = |source: &dyn Source, node: &Node| {
                read_part(source, node, piece.clone()).map_err(|error| with_causes(&error))
            };
            match (read(left, a), read(right, b)) {
                (Ok(x), Ok(y)) => {
                    let Some(at) = first_difference(&x, &y) else { continue };
                    let byte = start + at as u64;
                    // The content of files that are not world-readable must not be printed.
                    let secret = (a.mode & b.mode) & 0o004 == 0;
                    let text = |bytes: &[u8]| {
                        if secret {
                            return format!("byte {byte}");
                        }
                        let part = &bytes[at.saturating_sub(8)..(at + 24).min(bytes.len())];
                        format!("byte {byte}: {}", part.escape_ascii())
                    };
                    return Some((text(&x), text(&y)));
                }
                (Err(x), Err(y)) if x == y => return None,
                (x, y) => {
                    let shown = |read: Result<_, String>| read.err().unwrap_or("readable".to_owned());
                    return Some((shown(x), shown(y)));
                }
            }
        }
    }
    None
}

/// The ranges in which a file may contain non-zero bytes.
fn held(content: &Content) -> Vec<Range<u64>> {
    match content {
        Content::Extents(extents) => {
            extents.iter().map(|extent| extent.at..extent.at.saturating_add(extent.length)).collect()
        }
        Content::Inline(bytes) => Vec::from([Range { start: 0, end: bytes.len() as u64 }]),
        // Reading the first byte returns the error.
        Content::Unreadable(_) => Vec::from([Range { start: 0, end: 1 }]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Extent;

    #[test]
    fn sparse_files_are_compared_to_their_end() {
        const FAR: u64 = 1 << 50;
        let file = Node {
            number: 0,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            links: 1,
            size: FAR + 8,
            accessed: Time::default(),
            modified: Time::default(),
            changed: Time::default(),
            created: None,
            attributes: BTreeMap::new(),
            body: Body::File(Content::Extents(Vec::from([Extent { at: FAR, from: 1, length: 8 }]))),
        };
        let check = |left: &[u8], right: &[u8]| contents(&file, &file, &left, &right);
        assert_eq!(check(b" abcdefgh", b" abcdefgh"), None);
        let expect = |text: &str| format!("byte {}: {text}", FAR + 7);
        assert_eq!(check(b" abcdefgh", b" abcdefgi"), Some((expect("abcdefgh"), expect("abcdefgi"))));
    }
}
