//! Two trees: what files are there, and what is said of them.

use super::images::Difference;
use crate::filesystem::{Body, Node, NodeId, Source, Time, Tree, read_file};
use std::collections::BTreeMap;

/// A filesystem's tree, and where its files' bytes are.
pub struct Side<'a> {
    pub tree: &'a Tree,
    pub source: &'a dyn Source,
}

/// Differences of all files and folders, each with its path and field below `place`. No more than `most`.
pub fn compare(place: &[String], a: &Side, b: &Side, most: usize) -> Vec<Difference> {
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
            found.push(Difference { place, a, b });
        };
        match (left.get(path), right.get(path)) {
            (Some(_), None) => difference("entry", "there".to_owned(), "not there".to_owned()),
            (None, Some(_)) => difference("entry", "not there".to_owned(), "there".to_owned()),
            (Some(one), Some(other)) => {
                let (one, other) = (&a.tree.nodes[*one], &b.tree.nodes[*other]);
                nodes(one, other, &mut difference);
                if let Some((x, y)) = contents(one, other, a.source, b.source) {
                    difference("content", x, y);
                }
            }
            (None, None) => {}
        }
    }
    found
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

/// Files are read in pieces of this size.
const MOST: u64 = 64 << 20;

/// The first byte at which two files differ.
fn contents(a: &Node, b: &Node, left: &dyn Source, right: &dyn Source) -> Option<(String, String)> {
    if !matches!((&a.body, &b.body), (Body::File(_), Body::File(_))) {
        return None;
    }
    let read =
        |source: &dyn Source, node: &Node| read_file(source, node, MOST).map_err(|error| error.to_string());
    match (read(left, a), read(right, b)) {
        (Ok(x), Ok(y)) => {
            let at = x.iter().zip(&y).position(|(x, y)| x != y)?;
            // What not everybody may read belongs into no log.
            let secret = (a.mode & b.mode) & 0o004 == 0;
            let text = |bytes: &[u8]| {
                if secret {
                    return format!("byte {at}");
                }
                let part = &bytes[at.saturating_sub(8)..(at + 24).min(bytes.len())];
                format!("byte {at}: {}", part.escape_ascii())
            };
            Some((text(&x), text(&y)))
        }
        (Err(x), Err(y)) if x == y => None,
        (x, y) => Some((x.err().unwrap_or("readable".to_owned()), y.err().unwrap_or("readable".to_owned()))),
    }
}
