//! The installed system as it will see itself: the trees of its partitions, mounted into each other.

use super::programs::ProgramFault;
use crate::disk::{Body, Node, NodeId, ROOT, ReadError, Tree, Window, read_file};
use std::collections::BTreeMap;

/// Files that rules read: configuration, what boots, and small texts where a build could have left its marks.
const DIRECTORIES: &[&str] = &[
    "/etc/",
    "/home/",
    "/boot/",
    "/efi/",
    "/root/",
    "/var/lib/",
    "/var/log/",
    "/usr/lib/os-release",
    "/usr/lib/systemd/system/",
    "/usr/lib/pam.d/",
];
/// One that is read wherever it is: what a kernel needs no modules for.
const BUILT_IN: &str = "/modules.builtin";
/// Larger, and read to its end.
const LISTS: &[&str] = &["/var/lib/dpkg/status"];
const LONGEST: u64 = 32 << 20;
/// Of text files no more is read.
const SMALL: u64 = 256 << 10;
/// Of kernels, initramfs images and loaders so much.
const HEAD: u64 = 1 << 20;

/// One tree of all, and the texts of the files that rules read.
pub struct System {
    pub tree: Tree,
    /// The partition number of the root filesystem.
    pub root: u32,
    /// Where each further partition was found to be mounted.
    pub mounts: Vec<Mounted>,
    /// Where each partition's nodes begin in the tree, in rising order.
    origins: Vec<(NodeId, u32)>,
    /// What small files hold, by node.
    pub texts: BTreeMap<NodeId, Vec<u8>>,
    /// Partitions whose filesystem knows no modes: what mounts them gives them.
    pub without_modes: Vec<u32>,
    /// Texts that only the build host would have put there: its paths, its name.
    pub host_marks: Vec<String>,
    /// What is wrong with the programs that every boot runs.
    pub faults: Vec<ProgramFault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    pub at: String,
    pub partition: u32,
}

impl System {
    /// With the root's tree only.
    pub fn new(root: u32, tree: Tree) -> System {
        System {
            tree,
            root,
            mounts: Vec::new(),
            origins: vec![(ROOT, root)],
            texts: BTreeMap::new(),
            without_modes: Vec::new(),
            host_marks: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Puts another partition's tree in the place of a directory. `false` if there is no such directory.
    pub fn mount(&mut self, at: &str, partition: u32, tree: Tree) -> bool {
        let Some(place) = self.tree.find(at) else { return false };
        if !matches!(self.tree.nodes[place].body, Body::Directory(_)) || tree.nodes.is_empty() {
            return false;
        }
        let base = self.tree.nodes.len();
        self.origins.push((base, partition));
        for mut node in tree.nodes {
            if let Body::Directory(entries) = &mut node.body {
                entries.values_mut().for_each(|id| *id += base);
            }
            self.tree.nodes.push(node);
        }
        // The directory itself is hidden: its names are now those of the other root.
        let top = self.tree.nodes[base].clone();
        self.tree.nodes[place] = top;
        self.mounts.push(Mounted { at: at.to_owned(), partition });
        true
    }

    /// Reads the texts that were not read yet: of each partition from where its bytes are.
    ///
    /// # Errors
    /// The host did not give what the image holds. What is damaged in the image itself is left out: others say so.
    pub fn read_texts<'w>(&mut self, window: impl Fn(u32) -> Option<Window<'w>>) -> Result<(), ReadError> {
        let mut read = BTreeMap::new();
        for (path, id) in self.tree.paths() {
            let path = String::from_utf8_lossy(&path).into_owned();
            let node = &self.tree.nodes[id];
            let wanted =
                DIRECTORIES.iter().any(|directory| path.starts_with(directory)) || path.ends_with(BUILT_IN);
            if !wanted
                || self.texts.contains_key(&id)
                || read.contains_key(&id)
                || !matches!(node.body, Body::File(_))
            {
                continue;
            }
            let boots = ["/boot/", "/efi/"].iter().any(|directory| path.starts_with(directory));
            let limit = if boots {
                HEAD
            } else if LISTS.contains(&path.as_str()) {
                LONGEST
            } else {
                SMALL
            };
            if node.size > limit && limit != HEAD {
                continue;
            }
            let Some(window) = window(self.partition_of(id)) else { continue };
            match read_file(&window, node, limit) {
                Ok(bytes) => drop(read.insert(id, bytes)),
                Err(ReadError::Damaged { .. } | ReadError::Unsupported(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.texts.extend(read);
        Ok(())
    }

    /// The partition that a node lies in.
    pub fn partition_of(&self, id: NodeId) -> u32 {
        let after = self.origins.partition_point(|(start, _)| *start <= id);
        self.origins[after.saturating_sub(1)].1
    }

    pub fn node(&self, path: &str) -> Option<&Node> {
        self.tree.find(path).map(|id| &self.tree.nodes[id])
    }

    pub fn exists(&self, path: &str) -> bool {
        self.tree.find(path).is_some()
    }

    /// A file's text, if it is one that was read.
    pub fn text(&self, path: &str) -> Option<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.texts.get(&self.tree.find(path)?).map(Vec::as_slice)
    }

    /// Names in a directory, sorted; empty if there is none.
    pub fn list(&self, path: &str) -> Vec<String> {
        match self.node(path).map(|node| &node.body) {
            Some(Body::Directory(entries)) => {
                entries.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::scan;

    #[test]
    fn a_mounted_tree_hides_the_directory() {
        let (root, boot) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(root.path().join("boot/old")).unwrap();
        std::fs::write(boot.path().join("vmlinuz"), "k").unwrap();
        let tree = |directory: &std::path::Path| scan(directory, i64::MAX).unwrap().tree;
        let mut system = System::new(2, tree(root.path()));
        assert!(system.mount("/boot", 1, tree(boot.path())));
        assert!(!system.mount("/srv", 3, Tree::default()));
        assert_eq!(system.list("/boot"), ["vmlinuz"]);
        let kernel = system.tree.find("/boot/vmlinuz").unwrap();
        assert_eq!((system.partition_of(kernel), system.partition_of(ROOT)), (1, 2));
    }
}
