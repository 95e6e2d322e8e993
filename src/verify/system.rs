//! The installed system: the trees of its partitions, mounted into each other as they are at run time.

use super::programs::ProgramError;
use crate::disk::{Body, Node, NodeId, ROOT, ReadError, Tree, Window, read_file};
use std::collections::BTreeMap;

/// Files that rules read: configuration, boot files, and small text files where a build could leave traces.
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
/// The list of built-in modules is read for every kernel.
const BUILT_IN: &str = "/modules.builtin";
/// Large files that are read completely, up to `LONGEST`.
const LISTS: &[&str] = &["/var/lib/dpkg/status"];
const LONGEST: u64 = 32 << 20;
/// Size limit of other text files, in bytes.
const SMALL: u64 = 256 << 10;
/// Number of bytes that are read of kernels, initramfs images and boot loaders.
const HEAD: u64 = 1 << 20;

/// The tree of all mounted filesystems, and the contents of the files that rules read.
pub struct System {
    pub tree: Tree,
    /// The partition number of the root filesystem.
    pub root: u32,
    /// Mount points of the other partitions.
    pub mounts: Vec<Mounted>,
    /// The first node of each partition in the tree, in ascending order.
    origins: Vec<(NodeId, u32)>,
    /// Contents of small files, by node.
    pub texts: BTreeMap<NodeId, Vec<u8>>,
    /// Partitions whose filesystem stores no modes; the mount options define them.
    pub without_modes: Vec<u32>,
    /// Strings that identify the build host, such as its paths and host name.
    pub host_marks: Vec<String>,
    /// Problems of the programs that run at every boot.
    pub faults: Vec<ProgramError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    pub at: String,
    pub partition: u32,
}

impl System {
    /// A system with only the root filesystem.
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

    /// Mounts the tree of another partition at a directory. Returns `false` if the directory does not exist.
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
        // The root of the mounted tree replaces the directory.
        let top = self.tree.nodes[base].clone();
        self.tree.nodes[place] = top;
        self.mounts.push(Mounted { at: at.to_owned(), partition });
        true
    }

    /// Reads the files that were not read yet. `window` returns the bytes of a partition.
    ///
    /// # Errors
    /// If the host cannot read the image. Damaged files are skipped, because other rules report them.
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

    /// The partition that contains a node.
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

    /// The text of a file, if it was read.
    pub fn text(&self, path: &str) -> Option<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.texts.get(&self.tree.find(path)?).map(Vec::as_slice)
    }

    /// Sorted names in a directory; empty if it does not exist.
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
