//! Converts archives of a root tree to the representation of filesystems, so that the same checks apply to both.

use super::tree::{Item, Tree as Packed};
use crate::disk::{Body, Content, Extent, Node, NodeId, ROOT, Time, Tree, mode};
use std::collections::{BTreeMap, HashMap};
use tar::EntryType;

/// Maximum length of a path in bytes. Source: `PATH_MAX` in limits.h.
const LONGEST: usize = 4096;

impl Packed<'_> {
    /// Converts the archive. File data stays in the archive. Directories without an entry are owned by root.
    ///
    /// # Errors
    /// An entry cannot exist in a filesystem.
    pub(super) fn nodes(&self) -> Result<Tree, String> {
        let mut tree = Tree { nodes: vec![node(mode::DIRECTORY | 0o755, Body::Directory(BTreeMap::new()))] };
        let mut places: HashMap<&str, NodeId> = HashMap::from([("/", ROOT)]);
        for item in &self.items {
            if item.path.len() > LONGEST {
                return Err(format!("a path is too long ({} bytes)", item.path.len()));
            }
            let made = match item.kind {
                EntryType::Link => {
                    let target = String::from_utf8_lossy(&item.target);
                    let target = format!("/{}", target.trim_start_matches("./").trim_matches('/'));
                    let id = *places
                        .get(target.as_str())
                        .ok_or_else(|| format!("the target of the hard link `{}` is missing", item.path))?;
                    if matches!(tree.nodes[id].body, Body::Directory(_)) {
                        return Err(format!("`{}` is a hard link to a directory", item.path));
                    }
                    tree.nodes[id].links += 1;
                    id
                }
                // The directory was already created for an earlier entry in it. Keep its entries.
                EntryType::Directory if is_directory(&tree, places.get(item.path.as_str())) => {
                    let id = places[item.path.as_str()];
                    let body = std::mem::replace(&mut tree.nodes[id].body, Body::Other);
                    tree.nodes[id] = Node { body, ..of(item) };
                    continue;
                }
                _ => {
                    tree.nodes.push(of(item));
                    tree.nodes.len() - 1
                }
            };
            let parent = parent_of(&mut tree, &mut places, &item.path)?;
            let name = item.path.rsplit('/').next().unwrap_or_default();
            let Body::Directory(entries) = &mut tree.nodes[parent].body else {
                return Err(format!("the parent of `{}` is not a directory", item.path));
            };
            entries.insert(name.as_bytes().to_vec(), made);
            places.insert(&item.path, made);
        }
        Ok(tree)
    }
}

fn is_directory(tree: &Tree, place: Option<&NodeId>) -> bool {
    place.is_some_and(|id| matches!(tree.nodes[*id].body, Body::Directory(_)))
}

/// Returns the parent directory of a path. Missing directories are created.
fn parent_of<'p>(
    tree: &mut Tree,
    places: &mut HashMap<&'p str, NodeId>,
    path: &'p str,
) -> Result<NodeId, String> {
    let mut at = ROOT;
    for (end, _) in path.match_indices('/').skip(1) {
        let directory = &path[..end];
        at = match places.get(directory) {
            Some(id) => *id,
            None => {
                let new = tree.nodes.len();
                let name = directory.rsplit('/').next().unwrap_or_default();
                let Body::Directory(entries) = &mut tree.nodes[at].body else {
                    return Err(format!("the parent of `{path}` is not a directory"));
                };
                entries.insert(name.as_bytes().to_vec(), new);
                tree.nodes.push(node(mode::DIRECTORY | 0o755, Body::Directory(BTreeMap::new())));
                places.insert(directory, new);
                new
            }
        };
    }
    Ok(at)
}

fn of(item: &Item) -> Node {
    let (major, minor) = item.device;
    let length = item.data.end - item.data.start;
    let (kind, body) = match item.kind {
        EntryType::Directory => (mode::DIRECTORY, Body::Directory(BTreeMap::new())),
        EntryType::Symlink => (mode::LINK, Body::Link(item.target.clone())),
        EntryType::Char => (mode::CHR, Body::Device { major, minor }),
        EntryType::Block => (mode::BLK, Body::Device { major, minor }),
        EntryType::Fifo => (mode::FIFO, Body::Other),
        EntryType::GNUSparse => {
            (mode::FILE, Body::File(Content::Unreadable("it is stored as a sparse file".to_owned())))
        }
        _ => {
            let extent = Extent { at: 0, from: item.data.start, length };
            (mode::FILE, Body::File(Content::Extents(vec![extent])))
        }
    };
    let size = if kind == mode::FILE { length } else { 0 };
    let time = Time { seconds: item.time as i64, nanoseconds: 0 };
    Node {
        uid: item.owner as u32,
        gid: item.group as u32,
        size,
        modified: time,
        ..node(kind | item.mode & 0o7777, body)
    }
}

/// Creates a node owned by root, without timestamps.
pub(super) fn node(mode: u32, body: Body) -> Node {
    Node {
        number: 0,
        mode,
        uid: 0,
        gid: 0,
        links: 1,
        size: 0,
        accessed: Time::default(),
        modified: Time::default(),
        changed: Time::default(),
        created: None,
        attributes: BTreeMap::new(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::super::initramfs;
    use super::super::source::Raw;
    use super::super::tree::tests::packed;
    use super::*;
    use crate::disk::{Window, read_file};
    use std::io::Write;

    #[test]
    fn tar_and_initramfs_have_the_same_tree() {
        let file = packed();
        let raw = Raw::new(&file).unwrap();
        let archive = Packed::read(&raw).unwrap();
        let mut cpio = tempfile::tempfile().unwrap();
        let mut bytes = Vec::new();
        initramfs::write(&archive, |_| true, "sbin/init", &mut bytes).unwrap();
        cpio.write_all(&bytes).unwrap();
        let other = initramfs::read(&cpio).unwrap();
        for (archive, file) in [(&archive, &file), (&other, &cpio)] {
            let tree = archive.nodes().unwrap();
            let size = file.metadata().unwrap().len();
            let window = Window { file, offset: 0, size };
            let name = tree.find("/etc/name").unwrap();
            assert_eq!(name, tree.find("/etc/hostname").unwrap());
            assert_eq!(read_file(&window, &tree.nodes[name], 100).unwrap(), b"here\n");
            assert_eq!(tree.nodes[name].links, 2);
            let init = &tree.nodes[tree.find("/sbin/init").unwrap()];
            assert_eq!(init.mode, mode::FILE | 0o4755);
            assert!(tree.find(&format!("/usr/{}", "n".repeat(150))).is_some());
        }
        // A truncated archive.
        let mut cut = tempfile::tempfile().unwrap();
        cut.write_all(&bytes[..bytes.len() / 2]).unwrap();
        assert!(initramfs::read(&cut).is_err());
    }

    #[test]
    fn missing_parent_directories_are_created() {
        let archive = |entries: &[(&str, EntryType)]| {
            let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
            for (path, kind) in entries {
                let mut header = tar::Header::new_gnu();
                header.set_entry_type(*kind);
                header.set_mode(0o644);
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
                header.set_size(0);
                builder.append_data(&mut header, path, std::io::empty()).unwrap();
            }
            let file = builder.into_inner().unwrap();
            let raw = Raw::new(&file).unwrap();
            Packed::read(&raw).unwrap().nodes()
        };
        let tree = archive(&[("a/b/c", EntryType::Regular)]).unwrap();
        assert!(tree.find("/a/b/c").is_some());
        // The entry of a directory may follow the entries in it.
        let tree = archive(&[("a/b", EntryType::Regular), ("a", EntryType::Directory)]).unwrap();
        assert!(tree.find("/a/b").is_some());
        assert_eq!(tree.nodes[tree.find("/a").unwrap()].mode, mode::DIRECTORY | 0o644);
        let refused = archive(&[("a", EntryType::Regular), ("a/b", EntryType::Regular)]);
        assert_eq!(refused, Err("the parent of `/a/b` is not a directory".to_owned()));
    }
}
