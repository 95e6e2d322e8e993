//! Trees in memory, new filesystems, and checks.

use super::super::{Xfs, fill};
use crate::disk::Fill;
use crate::disk::bytes::is_zero;
use crate::disk::scan::Scan;
use crate::disk::source::Window;
use crate::disk::tree::{Body, Content, Extent, Node, NodeId, ROOT, Time, Tree};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use tempfile::NamedTempFile;
use uuid::Uuid;

pub(super) const MIB: u64 = 1 << 20;
pub(super) const FILL: Fill = Fill { epoch: 1_700_000_000, seed: Uuid::from_u128(7) };
pub(super) const STANDARD: &str = "-m crc=1,finobt=1,rmapbt=0,reflink=1,bigtime=1,inobtcount=1 -i sparse=1,nrext64=0 \
                            -l size=64m,internal=1";

/// Features that builds disable, if mkfs.xfs supports them and the options do not set them: newer versions enable them
/// by default.
fn turned_off(options: &str) -> Vec<&'static str> {
    let usage = crate::disk::judge("mkfs.xfs").output().unwrap().stderr;
    let usage = String::from_utf8_lossy(&usage);
    [("-m", "rmapbt=0"), ("-i", "nrext64=0"), ("-i", "exchange=0"), ("-n", "parent=0")]
        .into_iter()
        .filter(|(_, setting)| {
            let name = setting.trim_end_matches('0');
            usage.contains(name) && !options.contains(name)
        })
        .flat_map(|(option, setting)| [option, setting])
        .collect()
}

/// A sparse file with an empty filesystem.
pub(super) fn fresh(size: u64, options: &str) -> NamedTempFile {
    let image = NamedTempFile::new().unwrap();
    image.as_file().set_len(size).unwrap();
    let made = crate::disk::judge("mkfs.xfs")
        .args(["-q", "-f", "-m", "uuid=11111111-2222-3333-4444-555555555555"])
        .args(turned_off(options))
        .args(options.split_whitespace())
        .arg(image.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{options}: {}", String::from_utf8_lossy(&made.stderr));
    image
}

pub(super) fn window(file: &File) -> Window<'_> {
    Window { file, offset: 0, size: file.metadata().unwrap().len() }
}

/// Fills a filesystem twice, and checks it with xfs_repair and against the tree.
pub(super) fn check(scan: &Scan, size: u64, options: &str) -> NamedTempFile {
    let image = fresh(size, options);
    fill(image.as_file(), scan, &FILL).unwrap_or_else(|error| panic!("{options}: {error}"));
    repair(&image, options);
    assert_eq!(read_back(image.as_file(), scan), scan.tree, "{options}");
    let again = fresh(size, options);
    fill(again.as_file(), scan, &FILL).unwrap();
    assert_eq!(digest(image.as_file()), digest(again.as_file()), "{options}");
    image
}

fn repair(image: &NamedTempFile, options: &str) {
    let judged = crate::disk::judge("xfs_repair").arg("-n").arg(image.path()).output().unwrap();
    let messages = [judged.stdout, judged.stderr].concat();
    assert!(judged.status.success(), "{options}: {}", String::from_utf8_lossy(&messages));
}

/// The tree from the reader, with inode numbers and data locations made comparable to those of the scan.
fn read_back(image: &File, scan: &Scan) -> Tree {
    let window = window(image);
    let mut tree = Xfs::open(&window).unwrap().tree().unwrap();
    for (node, original) in tree.nodes.iter_mut().zip(&scan.tree.nodes) {
        node.number = 0;
        let Body::File(Content::Extents(extents)) = &node.body else { continue };
        node.body = match &original.body {
            Body::File(Content::Inline(_)) => {
                let mut content = vec![0; node.size as usize];
                for extent in extents {
                    let part = &mut content[extent.at as usize..][..extent.length as usize];
                    image.read_exact_at(part, extent.from).unwrap();
                }
                Body::File(Content::Inline(content))
            }
            _ => Body::File(Content::Extents(joined(extents))),
        };
    }
    tree
}

/// Merges extents that are contiguous in the file, wherever they are on disk.
fn joined(extents: &[Extent]) -> Vec<Extent> {
    let mut joined: Vec<Extent> = Vec::new();
    for extent in extents {
        match joined.last_mut() {
            Some(last) if last.at + last.length == extent.at => last.length += extent.length,
            _ => joined.push(Extent { from: extent.at, ..*extent }),
        }
    }
    joined
}

/// Digest of everything except holes.
pub(super) fn digest(image: &File) -> Vec<u8> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let size = image.metadata().unwrap().len();
    for at in data_places(image) {
        let part = &mut buffer[..(size - at).min(1 << 16) as usize];
        image.read_exact_at(part, at).unwrap();
        if !is_zero(part) {
            hasher.update(at.to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.finalize().to_vec()
}

/// All units of 64 KiB that contain data.
fn data_places(image: &File) -> Vec<u64> {
    use rustix::fs::{SeekFrom, seek};
    let mut places: Vec<u64> = Vec::new();
    let mut at = 0;
    while let Ok(start) = seek(image, SeekFrom::Data(at)) {
        at = seek(image, SeekFrom::Hole(start)).unwrap();
        places.extend((start >> 16..((at - 1) >> 16) + 1).map(|part| part << 16));
    }
    places.dedup();
    places
}

pub(super) struct Builder {
    pub scan: Scan,
}

impl Builder {
    pub(super) fn new() -> Self {
        let root = node(0o040_755, Body::Directory(BTreeMap::new()));
        Self { scan: Scan { tree: Tree { nodes: vec![root] }, paths: vec![PathBuf::new()] } }
    }

    /// Nodes must be added in the order of a scan.
    pub(super) fn add(&mut self, directory: NodeId, name: &[u8], node: Node) -> NodeId {
        let id = self.scan.tree.nodes.len();
        let is_directory = matches!(node.body, Body::Directory(_));
        self.scan.tree.nodes.push(node);
        self.scan.paths.push(PathBuf::new());
        if is_directory {
            self.scan.tree.nodes[directory].links += 1;
        }
        self.link(directory, name, id);
        id
    }

    pub(super) fn link(&mut self, directory: NodeId, name: &[u8], id: NodeId) {
        let Body::Directory(entries) = &mut self.scan.tree.nodes[directory].body else {
            panic!("not a directory")
        };
        assert!(entries.insert(name.to_vec(), id).is_none());
    }

    pub(super) fn directory(&mut self, name: &[u8]) -> NodeId {
        self.add(ROOT, name, node(0o040_755, Body::Directory(BTreeMap::new())))
    }

    pub(super) fn file(&mut self, directory: NodeId, name: &[u8], content: Vec<u8>) -> NodeId {
        let size = content.len() as u64;
        let file = Node { size, ..node(0o100_644, Body::File(Content::Inline(content))) };
        self.add(directory, name, file)
    }
}

pub(super) fn node(mode: u32, body: Body) -> Node {
    let time = |seconds| Time { seconds, nanoseconds: 123_456_789 };
    Node {
        number: 0,
        mode,
        uid: 1000,
        gid: 70_000,
        links: if matches!(body, Body::Directory(_)) { 2 } else { 1 },
        size: 0,
        accessed: time(1_600_000_000),
        modified: time(-1_000_000),
        changed: time(1_600_000_001),
        created: Some(time(1_600_000_002)),
        attributes: BTreeMap::new(),
        body,
    }
}

/// A deterministic stream of numbers. Source: splitmix64.
pub(super) struct Numbers(pub u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}
