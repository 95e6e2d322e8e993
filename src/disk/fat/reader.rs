//! The filesystem as a whole: opening it, its tree, and the bytes in use.

use super::boot::{Boot, MOST_16, Width};
use super::describe::Index;
use super::directory::{Entries, FatEntry, entries};
use super::table::{Next, Table, VisitedClusters, chain};
use crate::disk::bytes::{damaged, read};
use crate::disk::source::{ReadError, Source};
use crate::disk::tree::{Body, Content, Extent, Node, NodeId, PATH_MAX, ROOT, Time, Tree};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

/// Modes as Linux shows them with a umask of 022. FAT itself only has a read-only attribute.
const DIRECTORY_MODE: u32 = 0o040_755;
const FILE_MODE: u32 = 0o100_755;
const WRITE_BITS: u32 = 0o222;
/// Size of the longest directory that the format allows, in bytes.
const LONGEST_DIRECTORY: u64 = 65_536 * super::boot::ENTRY_SIZE;

/// A FAT filesystem that is being read.
pub struct Fat<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) boot: Boot,
    pub(super) table: Table,
    label: String,
    /// Byte ranges and what they belong to, built by the first [`Fat::describe`].
    pub(super) index: OnceLock<Index>,
}

impl<'a> Fat<'a> {
    /// Fails if the boot sector, the table or the root directory is invalid.
    pub fn open(source: &'a dyn Source) -> Result<Fat<'a>, ReadError> {
        let boot = Boot::read(source)?;
        let table = Table::read(source, &boot)?;
        let mut fat = Fat { source, boot, table, label: String::new(), index: OnceLock::new() };
        let root = fat.root(&mut VisitedClusters::none(&fat.boot))?;
        let label = root.label.or(fat.boot.label).unwrap_or_default();
        fat.label = String::from_utf8_lossy(&label).trim_end_matches([' ', '\0']).to_owned();
        Ok(fat)
    }

    /// The label of the root directory, or else of the boot sector; empty if there is none.
    pub fn label(&self) -> String {
        self.label.clone()
    }

    /// The volume ID as blkid prints it, `ABCD-1234`; empty if there is none.
    pub fn uuid(&self) -> String {
        self.boot.volume_id.map(|id| format!("{:04X}-{:04X}", id >> 16, id & 0xffff)).unwrap_or_default()
    }

    pub fn free_bytes(&self) -> u64 {
        let free = self.table.runs(&self.boot, |next| next == Next::Free);
        free.iter().map(|run| u64::from(run.end - run.start) * self.boot.cluster_size).sum()
    }

    /// See [`crate::disk::Opened::fat_mismatch`].
    pub fn mismatch(&self) -> Option<u32> {
        let is_32 = self.boot.width == Width::Bits32;
        (is_32 && self.boot.clusters <= MOST_16).then_some(self.boot.clusters)
    }

    /// See [`crate::disk::Opened::hidden_sectors`].
    pub fn hidden_sectors(&self) -> u32 {
        self.boot.hidden
    }

    /// Whether the filesystem was unmounted cleanly.
    pub fn is_clean(&self) -> bool {
        !self.boot.is_dirty && self.table.is_marked_clean()
    }

    /// The tree, without file contents. Nodes are numbered depth first, in the order of names. Mode, owner and link
    /// count, which FAT does not store, are those that Linux shows.
    pub fn tree(&self) -> Result<Tree, ReadError> {
        let mut seen = VisitedClusters::none(&self.boot);
        let root = self.root(&mut seen)?;
        let mut builder = Builder { fat: self, tree: Tree::default(), seen };
        builder.tree.nodes.push(node(DIRECTORY_MODE, 0, None, Body::Directory(BTreeMap::new())));
        builder.descend(root.entries)?;
        Ok(builder.tree)
    }

    /// The byte ranges whose contents matter: sorted, and merged where they touch.
    pub fn in_use(&self) -> Result<Vec<Range<u64>>, ReadError> {
        let boot = &self.boot;
        // Reserved sectors, tables and a fixed root directory are contiguous.
        let mut used = Vec::from([Range { start: 0, end: boot.clusters_start }]);
        for run in self.table.runs(boot, |next| !matches!(next, Next::Free | Next::Bad)) {
            let bytes = self.run_bytes(&run);
            match used.last_mut() {
                Some(last) if last.end == bytes.start => last.end = bytes.end,
                _ => used.push(bytes),
            }
        }
        Ok(used)
    }

    pub(super) fn run_bytes(&self, run: &Range<u32>) -> Range<u64> {
        let start = self.boot.cluster_place(run.start);
        start..start + u64::from(run.end - run.start) * self.boot.cluster_size
    }

    pub(super) fn root(&self, seen: &mut VisitedClusters) -> Result<Entries, ReadError> {
        if self.boot.width == Width::Bits32 {
            let runs = self.chain(seen, self.boot.root_cluster, "/")?;
            return self.directory(&runs, "/");
        }
        self.entries(Vec::from([self.boot.root.clone()]), "/")
    }

    pub(super) fn chain(
        &self,
        seen: &mut VisitedClusters,
        first: u32,
        path: &str,
    ) -> Result<Vec<Range<u32>>, ReadError> {
        chain(&self.boot, &self.table, seen, first, path)
    }

    pub(super) fn directory(&self, runs: &[Range<u32>], path: &str) -> Result<Entries, ReadError> {
        self.entries(runs.iter().map(|run| self.run_bytes(run)).collect(), path)
    }

    fn entries(&self, places: Vec<Range<u64>>, path: &str) -> Result<Entries, ReadError> {
        let mut bytes = Vec::new();
        for place in &places {
            let length = place.end - place.start;
            if bytes.len() as u64 + length > LONGEST_DIRECTORY {
                return Err(damaged(
                    format!("directory {path}"),
                    place.start,
                    "longer than the format allows",
                ));
            }
            bytes.extend(read(self.source, place.start, length as usize)?);
        }
        entries(&bytes, &places, self.boot.width, path)
    }
}

struct Builder<'t, 'a> {
    fat: &'t Fat<'a>,
    tree: Tree,
    seen: VisitedClusters,
}

/// A directory that is partly visited.
struct OpenDirectory {
    id: NodeId,
    path: String,
    waiting: std::vec::IntoIter<FatEntry>,
    children: BTreeMap<Vec<u8>, NodeId>,
}

impl OpenDirectory {
    fn new(id: NodeId, path: String, mut entries: Vec<FatEntry>) -> OpenDirectory {
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        OpenDirectory { id, path, waiting: entries.into_iter(), children: BTreeMap::new() }
    }
}

impl Builder<'_, '_> {
    /// Reads all directories below the root. An explicit stack avoids recursion.
    fn descend(&mut self, root: Vec<FatEntry>) -> Result<(), ReadError> {
        let mut open = vec![OpenDirectory::new(ROOT, String::new(), root)];
        while let Some(directory) = open.last_mut() {
            let Some(entry) = directory.waiting.next() else {
                let closed = open.pop().expect("checked by the loop condition");
                self.tree.nodes[closed.id].body = Body::Directory(closed.children);
                continue;
            };
            let id = self.tree.nodes.len();
            let path = format!("{}/{}", directory.path, entry.name);
            if path.len() >= PATH_MAX {
                let problem = format!("the path to `{}` is longer than {} bytes", entry.name, PATH_MAX - 1);
                return Err(ReadError::Unsupported(problem));
            }
            if directory.children.insert(entry.name.clone().into_bytes(), id).is_some() {
                return Err(damaged(path, entry.at, "duplicate entry name"));
            }
            if entry.is_directory {
                self.tree.nodes[directory.id].links += 1;
                let runs = self.fat.chain(&mut self.seen, entry.first_cluster, &path)?;
                let inside = self.fat.directory(&runs, &path)?;
                self.push(&entry, Body::Directory(BTreeMap::new()));
                open.push(OpenDirectory::new(id, path, inside.entries));
            } else {
                let extents = self.extents(&entry, &path)?;
                self.push(&entry, Body::File(Content::Extents(extents)));
            }
        }
        Ok(())
    }

    fn push(&mut self, entry: &FatEntry, body: Body) {
        let mode = if entry.is_directory { DIRECTORY_MODE } else { FILE_MODE };
        let mode = if entry.is_read_only { mode & !WRITE_BITS } else { mode };
        self.tree.nodes.push(node(mode, u64::from(entry.size), Some(entry), body));
    }

    fn extents(&mut self, entry: &FatEntry, path: &str) -> Result<Vec<Extent>, ReadError> {
        let size = u64::from(entry.size);
        let runs = match entry.first_cluster {
            0 => Vec::new(),
            first => self.fat.chain(&mut self.seen, first, path)?,
        };
        let mut extents = Vec::new();
        let mut at = 0;
        for run in runs {
            let place = self.fat.run_bytes(&run);
            // Clusters after the end are allocated but not part of the file.
            let length = (place.end - place.start).min(size - at);
            if length > 0 {
                extents.push(Extent { at, from: place.start, length });
            }
            at += length;
        }
        if at < size {
            return Err(damaged(path, entry.at, format!("{size} bytes, but its clusters only hold {at}")));
        }
        Ok(extents)
    }
}

/// `entry` is `None` for the root, which has no timestamps.
fn node(mode: u32, size: u64, entry: Option<&FatEntry>, body: Body) -> Node {
    let modified = entry.map_or_else(Time::default, |entry| entry.modified);
    Node {
        number: 0,
        mode,
        uid: 0,
        gid: 0,
        links: if matches!(body, Body::Directory(_)) { 2 } else { 1 },
        size,
        accessed: entry.map_or(modified, |entry| entry.accessed),
        modified,
        changed: modified,
        created: entry.and_then(|entry| entry.created),
        attributes: BTreeMap::new(),
        body,
    }
}
