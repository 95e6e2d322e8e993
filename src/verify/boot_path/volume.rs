//! A filesystem as boot loaders see it.

use super::FileAt;
use crate::disk::{Body, Node, NodeId, ROOT, Source, Tree, read_file, read_part};
use std::ops::Range;

/// The maximum size of a file that is read, in bytes.
const MOST: u64 = 256 << 20;

pub struct Volume<'a> {
    /// Partition number; 0 if the filesystem fills the disk.
    pub number: u32,
    /// FAT names are case-insensitive.
    pub is_fat: bool,
    pub is_esp: bool,
    /// An extended boot loader partition. Source: The Boot Loader Specification (UAPI.1), "The Partitions".
    pub is_xbootldr: bool,
    /// Bootable by BIOS: the active flag of an MBR, or attribute bit 2 of a GPT. Source: UEFI 2.10, 5.3.3.
    pub is_active: bool,
    pub uuid: Option<String>,
    pub label: Option<String>,
    pub tree: &'a Tree,
    pub source: &'a dyn Source,
}

impl<'a> Volume<'a> {
    pub fn at(&self, path: &str) -> FileAt {
        FileAt { partition: self.number, path: absolute(path) }
    }

    /// Finds a file, link or directory. The path may contain slashes or backslashes.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let path = absolute(path);
        if !self.is_fat {
            return self.tree.find(&path);
        }
        let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
        parts.into_iter().try_fold(ROOT, |at, part| {
            let Body::Directory(entries) = &self.tree.nodes.get(at)?.body else { return None };
            let same = |name: &[u8]| String::from_utf8_lossy(name).eq_ignore_ascii_case(part);
            entries.iter().find(|(name, _)| same(name)).map(|(_, id)| *id)
        })
    }

    pub fn node(&self, path: &str) -> Option<&'a Node> {
        self.find(path).map(|id| &self.tree.nodes[id])
    }

    pub fn has_file(&self, path: &str) -> bool {
        self.node(path).is_some_and(|node| matches!(node.body, Body::File(_)))
    }

    pub fn size(&self, path: &str) -> u64 {
        self.node(path).map_or(0, |node| node.size)
    }

    /// The content of a file; `None` if it is missing or unreadable.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let node = self.node(path).filter(|node| node.size <= MOST)?;
        read_file(self.source, node, MOST).ok()
    }

    pub fn text(&self, path: &str) -> Option<String> {
        // Larger files are not configuration files.
        let node = self.node(path).filter(|node| node.size <= 1 << 20)?;
        let bytes = read_file(self.source, node, 1 << 20).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned())
    }

    pub fn part(&self, path: &str, range: Range<u64>) -> Option<Vec<u8>> {
        read_part(self.source, self.node(path)?, range).ok()
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

/// An absolute path with slashes.
pub(super) fn absolute(path: &str) -> String {
    let path = path.trim().replace('\\', "/");
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// The directory of a path.
pub(super) fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}
