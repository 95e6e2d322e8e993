//! Writes a tree into a FAT filesystem: an empty one from mkfs.vfat, or one with existing files.
//!
//! Everything is decided before the first byte is written: whether all nodes can be stored, whether they fit, the
//! clusters of each file and directory, and all directory entries. Clusters are allocated in the order of the tree,
//! starting with the first free one, so that the same tree results in the same bytes.

mod unsupported;

use super::boot::{Boot, ENTRY_SIZE, FIRST_CLUSTER, Width};
use super::directory::{self, encoded};
use super::name::{LongName, short_name};
use super::new_name::{self, ShortNames};
use super::table::{END, Next, Table, VisitedClusters, chain};
use crate::disk::bytes::{read, u32_at};
use crate::disk::scan::Scan;
use crate::disk::source::{ReadError, Window};
use crate::disk::tree::{Body, Content, Extent, NodeId, ROOT, Time};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
pub use unsupported::first_unsupported;

/// Copy buffer in bytes.
const BUFFER: usize = 1 << 20;
const ENTRY: usize = ENTRY_SIZE as usize;
/// Most entries of a directory. Source: fatgen103, "FAT Directory Structure": 2 MiB.
const MOST_ENTRIES: usize = 65_536;
/// Archive attribute: set on every file that was written and not backed up.
const ARCHIVE: u8 = 0x20;

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Path from the filesystem's root.
    #[error("vfat cannot store `{path}`: {problem}")]
    Node { path: String, problem: String },
    /// Sizes in bytes.
    #[error("{need} bytes needed, {have} bytes free")]
    Full { need: u64, have: u64 },
    #[error("could not read `{}`", path.display())]
    Host {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    #[error("could not read the existing filesystem")]
    Read(#[from] ReadError),
    #[error("could not write the filesystem")]
    Image(#[source] io::Error),
}

/// Writes the tree into the filesystem. Files with the same name are replaced. `is_blank`: free clusters are known to
/// read as zeros.
pub fn fill(window: &Window, scan: &Scan, is_blank: bool) -> Result<(), WriteError> {
    let boot = Boot::read(window)?;
    let table = Table::read(window, &boot)?;
    let mut writer =
        Writer { window, scan, boot, table, next: FIRST_CLUSTER, directories: Vec::new(), files: Vec::new() };
    writer.decide()?;
    writer.write(is_blank)
}

/// Where a directory is stored.
#[derive(Clone, Debug)]
enum DirectoryLocation {
    /// The fixed root directory of FAT12 and FAT16, which cannot grow.
    Root,
    Clusters(Vec<Range<u32>>),
}

impl DirectoryLocation {
    /// The first cluster as entries refer to it; 0 for the root.
    fn first_cluster(&self) -> u32 {
        match self {
            DirectoryLocation::Root => 0,
            DirectoryLocation::Clusters(runs) => runs.first().map_or(0, |run| run.start),
        }
    }
}

struct Writer<'a> {
    window: &'a Window<'a>,
    scan: &'a Scan,
    boot: Boot,
    table: Table,
    /// All clusters before this one are allocated.
    next: u32,
    directories: Vec<(DirectoryLocation, Vec<u8>)>,
    files: Vec<(NodeId, Vec<Range<u32>>)>,
}

/// An existing file or directory: all entries of one name.
struct Old {
    entries: Vec<u8>,
    short: [u8; 11],
    is_directory: bool,
    first_cluster: u32,
}

/// A directory whose entries are not planned yet.
struct Waiting {
    node: NodeId,
    path: String,
    place: DirectoryLocation,
    /// First cluster of the parent directory, as stored in `..`.
    parent: u32,
    is_new: bool,
}

impl Writer<'_> {
    fn decide(&mut self) -> Result<(), WriteError> {
        let place = match self.boot.width {
            Width::Bits32 => DirectoryLocation::Clusters(self.chain(self.boot.root_cluster, "/")?),
            _ => DirectoryLocation::Root,
        };
        let mut waiting =
            VecDeque::from([Waiting { node: ROOT, path: String::new(), place, parent: 0, is_new: false }]);
        while let Some(directory) = waiting.pop_front() {
            self.directory(directory, &mut waiting)?;
        }
        Ok(())
    }

    fn directory(
        &mut self,
        mut directory: Waiting,
        waiting: &mut VecDeque<Waiting>,
    ) -> Result<(), WriteError> {
        let scan = self.scan;
        let Body::Directory(children) = &scan.tree.nodes[directory.node].body else {
            unreachable!("only directories are queued")
        };
        let is_root = directory.node == ROOT;
        // `..` of a directory in the root is 0, even if the root has a cluster.
        let own = if is_root { 0 } else { directory.place.first_cluster() };
        let mut bytes = Vec::new();
        let mut old = BTreeMap::new();
        if directory.is_new {
            let modified = scan.tree.nodes[directory.node].modified;
            bytes.extend(entry(b".          ", directory::DIRECTORY, own, 0, modified));
            bytes.extend(entry(b"..         ", directory::DIRECTORY, directory.parent, 0, modified));
        } else {
            (bytes, old) = self.old(&directory)?;
        }
        let mut short_names = ShortNames::default();
        for old in old.values() {
            short_names.insert(old.short);
        }
        let mut added = Vec::new();
        for (name, child) in children {
            let path = format!("{}/{}", directory.path, String::from_utf8_lossy(name));
            let cannot = |problem: String| WriteError::Node { path: path.clone(), problem };
            let name = new_name::check(name).map_err(cannot)?;
            let is_directory = matches!(scan.tree.nodes[*child].body, Body::Directory(_));
            if let Some(there) = old.get(&new_name::folded(name)) {
                match (is_directory, there.is_directory) {
                    (true, true) => {
                        let place = DirectoryLocation::Clusters(self.chain(there.first_cluster, &path)?);
                        waiting.push_back(Waiting { node: *child, path, place, parent: own, is_new: false });
                        continue;
                    }
                    (false, false) => {
                        let gone = old.remove(&new_name::folded(name)).expect("found above");
                        self.free(gone.first_cluster, &path)?;
                    }
                    (true, false) => return Err(cannot("a file with this name already exists".to_owned())),
                    (false, true) => {
                        return Err(cannot("a directory with this name already exists".to_owned()));
                    }
                }
            }
            let Some(short) = short_names.give(name) else {
                return Err(cannot("no unused short name (8.3) is left".to_owned()));
            };
            added.extend(new_name::long_entries(name, &short).concat());
            added.extend(self.child(*child, path, own, &short, waiting)?);
        }
        if added.is_empty() && !directory.is_new {
            return Ok(());
        }
        bytes.extend(old.into_values().flat_map(|old| old.entries));
        bytes.extend(added);
        self.lengthen(&mut directory, bytes.len())?;
        self.directories.push((directory.place, bytes));
        Ok(())
    }

    /// Allocates a new file or directory, and returns its entry.
    fn child(
        &mut self,
        id: NodeId,
        path: String,
        parent: u32,
        short: &[u8; 11],
        waiting: &mut VecDeque<Waiting>,
    ) -> Result<[u8; ENTRY], WriteError> {
        let node = &self.scan.tree.nodes[id];
        if matches!(node.body, Body::Directory(_)) {
            let place = DirectoryLocation::Clusters(self.allocate(self.clusters_of(self.length_of(id)))?);
            let first = place.first_cluster();
            waiting.push_back(Waiting { node: id, path, place, parent, is_new: true });
            return Ok(entry(short, directory::DIRECTORY, first, 0, node.modified));
        }
        let Ok(size) = u32::try_from(node.size) else {
            return Err(WriteError::Node {
                path,
                problem: "a file on vfat is smaller than 4 GiB".to_owned(),
            });
        };
        let runs = self.allocate(self.clusters_of(node.size))?;
        let first = runs.first().map_or(0, |run| run.start);
        self.files.push((id, runs));
        Ok(entry(short, ARCHIVE, first, size, node.modified))
    }

    /// Extends a directory to `length` bytes.
    fn lengthen(&mut self, directory: &mut Waiting, length: usize) -> Result<(), WriteError> {
        let path = format!("{}/", directory.path);
        let cannot = |problem: String| WriteError::Node { path, problem };
        if length > MOST_ENTRIES * ENTRY {
            return Err(cannot(format!(
                "a directory has at most {MOST_ENTRIES} entries, and a long name takes several"
            )));
        }
        match &mut directory.place {
            DirectoryLocation::Root => {
                let capacity = (self.boot.root.end - self.boot.root.start) as usize;
                if length > capacity {
                    let entries = capacity / ENTRY;
                    return Err(cannot(format!(
                        "the root directory of this filesystem has at most {entries} entries, and a long name takes several"
                    )));
                }
            }
            DirectoryLocation::Clusters(runs) => {
                let have: u32 = runs.iter().map(|run| run.end - run.start).sum();
                let more = self.clusters_of(length as u64).saturating_sub(have);
                if more > 0 {
                    let last = runs.last().map_or(0, |run| run.end - 1);
                    let new = self.allocate(more)?;
                    if let Some(first) = new.first() {
                        self.table.set(last, first.start);
                    }
                    runs.extend(new);
                }
            }
        }
        Ok(())
    }

    /// Upper bound for the size of a new directory, in bytes.
    fn length_of(&self, directory: NodeId) -> u64 {
        let Body::Directory(children) = &self.scan.tree.nodes[directory].body else { return 0 };
        let entries = |name: &Vec<u8>| new_name::entries(&String::from_utf8_lossy(name)) as u64;
        (2 + children.keys().map(entries).sum::<u64>()) * ENTRY_SIZE
    }

    fn clusters_of(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(self.boot.cluster_size)).unwrap_or(u32::MAX)
    }

    /// A directory's bytes before the names, and its existing names by their case-folded form.
    fn old(&self, directory: &Waiting) -> Result<(Vec<u8>, BTreeMap<String, Old>), WriteError> {
        let places = match &directory.place {
            DirectoryLocation::Root => vec![self.boot.root.clone()],
            DirectoryLocation::Clusters(runs) => runs.iter().map(|run| self.bytes_of(run)).collect(),
        };
        let mut bytes = Vec::new();
        for place in places {
            bytes.extend(read(self.window, place.start, (place.end - place.start) as usize)?);
        }
        let mut before = Vec::new();
        let mut found = BTreeMap::new();
        let (mut long, mut entries) = (LongName::default(), Vec::new());
        for entry in bytes.chunks_exact(ENTRY) {
            match (entry[0], entry[11]) {
                (directory::END, _) => break,
                (directory::DELETED, _) => {
                    long = LongName::default();
                    entries.clear();
                }
                (_, attributes) if attributes & 0x3f == directory::LONG_NAME => {
                    long.push(entry);
                    entries.extend(entry);
                }
                (first, attributes) => {
                    let long_name = long.take(entry);
                    entries.extend(entry);
                    let entries = std::mem::take(&mut entries);
                    if attributes & directory::LABEL != 0 || first == b'.' && long_name.is_none() {
                        before.extend(entries);
                        continue;
                    }
                    let name = long_name.unwrap_or_else(|| short_name(entry));
                    let high = if self.boot.width == Width::Bits32 { &entry[20..22] } else { &[0, 0] };
                    let old = Old {
                        entries,
                        short: entry[..11].try_into().expect("slice of 11 bytes"),
                        is_directory: attributes & directory::DIRECTORY != 0,
                        first_cluster: u32_at(&[entry[26], entry[27], high[0], high[1]], 0),
                    };
                    found.insert(new_name::folded(&name), old);
                }
            }
        }
        Ok((before, found))
    }

    fn chain(&self, first: u32, path: &str) -> Result<Vec<Range<u32>>, WriteError> {
        Ok(chain(&self.boot, &self.table, &mut VisitedClusters::none(&self.boot), first, path)?)
    }

    fn free(&mut self, first: u32, path: &str) -> Result<(), WriteError> {
        if first != 0 {
            for cluster in self.chain(first, path)?.into_iter().flatten() {
                self.table.set(cluster, 0);
                self.next = self.next.min(cluster);
            }
        }
        Ok(())
    }

    /// Allocates a chain of `count` clusters.
    fn allocate(&mut self, count: u32) -> Result<Vec<Range<u32>>, WriteError> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        let mut found = 0;
        let mut last = None;
        while found < count {
            if !self.boot.has_cluster(self.next) {
                return Err(self.full());
            }
            let cluster = self.next;
            self.next += 1;
            if self.table.next(cluster) != Next::Free {
                continue;
            }
            self.table.set(cluster, END);
            if let Some(last) = last.replace(cluster) {
                self.table.set(last, cluster);
            }
            match runs.last_mut() {
                Some(run) if run.end == cluster => run.end += 1,
                _ => runs.push(cluster..cluster + 1),
            }
            found += 1;
        }
        Ok(runs)
    }

    fn full(&self) -> WriteError {
        let files = self.scan.tree.nodes.iter().map(|node| u64::from(self.clusters_of(node.size)));
        let directories =
            (0..self.scan.tree.nodes.len()).map(|id| u64::from(self.clusters_of(self.length_of(id))));
        let need = (files.sum::<u64>() + directories.sum::<u64>()) * self.boot.cluster_size;
        let Ok(before) = Table::read(self.window, &self.boot) else {
            return WriteError::Full { need, have: 0 };
        };
        let free = before.runs(&self.boot, |next| next == Next::Free);
        let have = free.iter().map(|run| u64::from(run.end - run.start) * self.boot.cluster_size).sum();
        WriteError::Full { need, have }
    }

    fn bytes_of(&self, run: &Range<u32>) -> Range<u64> {
        let start = self.boot.cluster_place(run.start);
        start..start + u64::from(run.end - run.start) * self.boot.cluster_size
    }

    /// Writes contents first and the tables last, so that an interrupted write leaves the previous state.
    fn write(&self, is_blank: bool) -> Result<(), WriteError> {
        for (node, runs) in &self.files {
            self.write_file(*node, runs, is_blank)?;
        }
        for (place, bytes) in &self.directories {
            let mut rest = bytes.as_slice();
            let places = match place {
                DirectoryLocation::Root => vec![self.boot.root.clone()],
                DirectoryLocation::Clusters(runs) => runs.iter().map(|run| self.bytes_of(run)).collect(),
            };
            for place in places {
                let (these, others) = rest.split_at(rest.len().min((place.end - place.start) as usize));
                rest = others;
                let mut part = these.to_vec();
                part.resize((place.end - place.start) as usize, 0);
                self.put(&part, place.start)?;
            }
        }
        for copy in &self.boot.tables {
            let length = self.table.bytes().len().min((copy.end - copy.start) as usize);
            self.put(&self.table.bytes()[..length], copy.start)?;
        }
        self.write_hints()
    }

    fn put(&self, bytes: &[u8], at: u64) -> Result<(), WriteError> {
        self.window.file.write_all_at(bytes, self.window.offset + at).map_err(WriteError::Image)
    }

    /// Writes the number of free clusters and the next free one. Source: fatgen103, "FAT32 FSInfo Sector Structure".
    fn write_hints(&self) -> Result<(), WriteError> {
        const SIGNATURES: [(usize, u32); 2] = [(0, 0x4161_5252), (484, 0x6141_7272)];
        if self.boot.info_sector == 0 {
            return Ok(());
        }
        let at = self.boot.info_sector * self.boot.sector_size;
        let mut sector = read(self.window, at, 512)?;
        if SIGNATURES.iter().any(|(place, signature)| u32_at(&sector, *place) != *signature) {
            return Ok(());
        }
        let free = self.table.runs(&self.boot, |next| next == Next::Free);
        let count: u32 = free.iter().map(|run| run.end - run.start).sum();
        sector[488..492].copy_from_slice(&count.to_le_bytes());
        sector[492..496].copy_from_slice(&self.next.to_le_bytes());
        self.put(&sector, at)
    }

    fn write_file(&self, id: NodeId, runs: &[Range<u32>], is_blank: bool) -> Result<(), WriteError> {
        let node = &self.scan.tree.nodes[id];
        let Body::File(Content::Extents(extents)) = &node.body else { return Ok(()) };
        let from = Host::open(&self.scan.paths[id])?;
        let mut buffer = vec![0; BUFFER];
        let mut at = 0;
        for run in runs {
            let place = self.bytes_of(run);
            let inside = at..at + (place.end - place.start);
            if !is_blank {
                self.zero(place.clone(), &mut buffer)?;
            }
            for extent in within(extents, &inside) {
                for start in extent.clone().step_by(BUFFER) {
                    let part = &mut buffer[..BUFFER.min((extent.end - start) as usize)];
                    from.read(part, start)?;
                    self.put(part, place.start + (start - inside.start))?;
                }
            }
            at = inside.end;
        }
        Ok(())
    }

    fn zero(&self, place: Range<u64>, buffer: &mut [u8]) -> Result<(), WriteError> {
        buffer.fill(0);
        for start in place.clone().step_by(buffer.len()) {
            self.put(&buffer[..buffer.len().min((place.end - start) as usize)], start)?;
        }
        Ok(())
    }
}

/// The parts of extents inside a range of the file.
fn within<'e>(extents: &'e [Extent], range: &'e Range<u64>) -> impl Iterator<Item = Range<u64>> + 'e {
    extents
        .iter()
        .map(|extent| extent.at.max(range.start)..(extent.at + extent.length).min(range.end))
        .filter(|part| part.start < part.end)
}

struct Host<'p> {
    path: &'p Path,
    file: File,
}

impl Host<'_> {
    fn open(path: &Path) -> Result<Host<'_>, WriteError> {
        let file = File::open(path).map_err(|error| WriteError::Host { path: path.to_owned(), error })?;
        Ok(Host { path, file })
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), WriteError> {
        let read = self.file.read_exact_at(buffer, at);
        read.map_err(|error| WriteError::Host { path: self.path.to_owned(), error })
    }
}

/// A short entry. All timestamps are the modification time.
fn entry(short: &[u8; 11], attributes: u8, first_cluster: u32, size: u32, modified: Time) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let (day, of_day, hundredths) = encoded(modified);
    entry[..11].copy_from_slice(short);
    entry[11] = attributes;
    entry[13] = hundredths;
    for (at, value) in [
        (14, of_day),
        (16, day),
        (18, day),
        (20, (first_cluster >> 16) as u16),
        (22, of_day),
        (24, day),
        (26, first_cluster as u16),
    ] {
        entry[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    entry[28..].copy_from_slice(&size.to_le_bytes());
    entry
}
