//! Directories to fill filesystems with.

use super::EPOCH;
use crate::disk::scan::{Scan, scan};
use crate::disk::tree::{Body, Content, Node, ROOT, Time};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use tempfile::TempDir;

/// Deterministic pseudorandom bytes (xorshift).
pub(super) struct Noise(pub u64);

impl Noise {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// Nodes of every type, and `many` names in one directory.
pub(super) fn sample(many: usize) -> (TempDir, Scan) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let mut noise = Noise(1);
    sizes(root, &mut noise);
    names(root, many);
    sparse(root, &mut noise);
    links(root);
    fs::create_dir_all(root.join("deep").join("d/".repeat(100))).unwrap();
    let mut scan = scan(root, EPOCH).unwrap();
    decorate(&mut scan);
    (directory, scan)
}

/// Files around every limit of sectors and inline data.
fn sizes(root: &Path, noise: &mut Noise) {
    for size in [0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 65_537, 3_000_001] {
        fs::write(root.join(format!("size{size}")), noise.bytes(size)).unwrap();
    }
}

fn names(root: &Path, many: usize) {
    fs::create_dir(root.join("many")).unwrap();
    for index in 0..many {
        let content = if index % 9 == 0 { "nine" } else { "" };
        fs::write(root.join(format!("many/name-{index}")), content).unwrap();
    }
    let odd = root.join("odd");
    fs::create_dir(&odd).unwrap();
    let bytes: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    for turn in 0..40 {
        let mut name = bytes.clone();
        name.rotate_left(turn);
        name.push(b'x');
        fs::write(odd.join(OsStr::from_bytes(&name)), "odd").unwrap();
    }
    // Two names with the same hash share a DIR_ITEM.
    fs::write(odd.join("pjrhmdny"), "one").unwrap();
    fs::write(odd.join("tamblxmc"), "other").unwrap();
}

fn sparse(root: &Path, noise: &mut Noise) {
    let file = File::create(root.join("sparse")).unwrap();
    for index in 0..5000 {
        file.write_all_at(&noise.bytes(512), index * 8192).unwrap();
    }
    file.set_len(5000 * 8192 + 12_345).unwrap();
    File::create(root.join("hole")).unwrap().set_len(1 << 30).unwrap();
    File::create(root.join("small hole")).unwrap().set_len(1000).unwrap();
}

fn links(root: &Path) {
    fs::create_dir(root.join("links")).unwrap();
    fs::write(root.join("links/first"), "linked").unwrap();
    for index in 1..500 {
        let name = format!("links/{index:03}{}", "l".repeat(200));
        fs::hard_link(root.join("links/first"), root.join(name)).unwrap();
    }
    fs::hard_link(root.join("links/first"), root.join("also linked")).unwrap();
    symlink("../away", root.join("links/soft")).unwrap();
    symlink(OsStr::from_bytes(&[0xff, 0xfe]), root.join("links/not text")).unwrap();
    symlink("t".repeat(3900), root.join("links/long")).unwrap();
}

/// Adds metadata that only root could create: owners, devices, attributes of all namespaces.
fn decorate(scan: &mut Scan) {
    let attributes = [
        (&b"security.capability"[..], vec![1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (b"system.posix_acl_access", vec![2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255]),
        (b"trusted.overlay.opaque", b"y".to_vec()),
        (b"user.empty", Vec::new()),
        (b"user.large", vec![b'l'; 3900]),
    ];
    for (index, node) in scan.tree.nodes.iter_mut().enumerate() {
        node.uid = index as u32 * 1000;
        node.gid = u32::MAX - 1 - index as u32;
        node.created = Some(Time { seconds: -5, nanoseconds: 999_999_999 });
        node.accessed = Time { seconds: 1 << 40, nanoseconds: index as u32 };
        if index % 7 == 0 {
            node.attributes.extend(attributes.iter().map(|(name, value)| (name.to_vec(), value.clone())));
        }
    }
    scan.tree.nodes[ROOT].mode = 0o041_750;
    for (name, mode, body) in [
        ("character", 0o020_600, Body::Device { major: 4095, minor: 0xf_ffff }),
        ("drive", 0o060_640, Body::Device { major: 8, minor: 1 }),
        ("pipe", 0o010_644, Body::Other),
        ("socket", 0o144_777, Body::Other),
    ] {
        add(scan, name, mode, body);
    }
    in_order(scan);
}

/// Adds a node that does not exist in the host's directory.
fn add(scan: &mut Scan, name: &str, mode: u32, body: Body) {
    let id = scan.tree.nodes.len();
    let time = Time { seconds: 1, nanoseconds: 2 };
    scan.tree.nodes.push(Node {
        number: 0,
        mode,
        uid: 1,
        gid: 2,
        links: 1,
        size: 0,
        accessed: time,
        modified: time,
        changed: time,
        created: Some(time),
        attributes: BTreeMap::new(),
        body,
    });
    scan.paths.push(name.into());
    let Body::Directory(entries) = &mut scan.tree.nodes[ROOT].body else { unreachable!() };
    entries.insert(name.into(), id);
}

/// Renumbers the added nodes, so that the order of nodes is that of names.
fn in_order(scan: &mut Scan) {
    let Body::Directory(entries) = &mut scan.tree.nodes[ROOT].body else { unreachable!() };
    let last = entries.values().max().copied().unwrap_or(0);
    for id in last - 3..=last {
        let (name, _) = entries.iter().find(|(_, child)| **child == id).unwrap();
        let name = name.clone();
        entries.remove(&name);
        entries.insert([b"~", &name[..]].concat(), id);
    }
}

/// One file with this many nonzero bytes.
pub(super) fn one_file(size: u64) -> (TempDir, Scan) {
    let directory = tempfile::tempdir().unwrap();
    let file = File::create(directory.path().join("file")).unwrap();
    let mut noise = Noise(2);
    let piece = noise.bytes(1 << 20);
    for at in (0..size).step_by(1 << 20) {
        file.write_all_at(&piece[..(size - at).min(1 << 20) as usize], at).unwrap();
    }
    let scan = scan(directory.path(), EPOCH).unwrap();
    let Body::File(Content::Extents(extents)) = &scan.tree.nodes[1].body else { unreachable!() };
    assert_eq!(
        extents.iter().map(|extent| extent.length).sum::<u64>(),
        size.next_multiple_of(4096).min(size)
    );
    (directory, scan)
}
