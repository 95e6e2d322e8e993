//! Filesystems made by `mkfs.btrfs`, filled, and checked by `btrfs check`, `btrfs restore` and the reader.

mod hostile;
mod rejected;
mod sample;
mod space;
mod written;

use super::{Btrfs, WriteError, fill};
use crate::disk::Fill;
use crate::disk::scan::Scan;
use crate::disk::source::{Source, Window};
use crate::disk::tree::{Body, Content, Node, Tree};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::NamedTempFile;
use uuid::Uuid;

const EPOCH: i64 = 1_700_000_000;
const MIB: u64 = 1 << 20;

/// An empty filesystem.
fn mkfs(size: u64, options: &str) -> NamedTempFile {
    let image = NamedTempFile::new().unwrap();
    image.as_file().set_len(size).unwrap();
    let mut command = crate::disk::judge("mkfs.btrfs");
    command.args(["-q", "-U", "12345678-1234-1234-1234-123456789abc", "-L", "sample"]);
    let output = command.args(options.split_whitespace()).arg(image.path()).output().unwrap();
    assert!(output.status.success(), "{options}: {}", String::from_utf8_lossy(&output.stderr));
    image
}

fn filled(size: u64, options: &str, scan: &Scan) -> Result<NamedTempFile, WriteError> {
    let image = mkfs(size, options);
    let seed = Uuid::from_u128(7);
    fill(image.as_file(), scan, &Fill { epoch: EPOCH, seed }).map(|()| image)
}

fn window(image: &NamedTempFile) -> Window<'_> {
    let size = image.as_file().metadata().unwrap().len();
    Window { file: image.as_file(), offset: 0, size }
}

/// Asserts that `btrfs check` reports nothing.
fn check(image: &Path, what: &str) {
    for mode in [&["--readonly"][..], &["--readonly", "--check-data-csum"]] {
        let output = crate::disk::judge("btrfs").arg("check").args(mode).arg(image).output().unwrap();
        let messages = [&output.stdout[..], &output.stderr]
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .concat();
        assert!(output.status.success() && messages.contains("no error found"), "{what}: {messages}");
        // Messages that it does not count as errors.
        let remarks = ["ERROR", "unresolved", "mismatch", "warning, ", "cache and super generation"];
        assert!(!remarks.iter().any(|remark| messages.contains(remark)), "{what}: {messages}");
    }
}

/// Asserts that the trees are equal, except for numbers and locations.
fn assert_same(written: &Scan, read: &Tree, source: &dyn Source) {
    assert_eq!(written.tree.nodes.len(), read.nodes.len());
    for ((one, path), other) in written.tree.nodes.iter().zip(&written.paths).zip(&read.nodes) {
        let path = path.display();
        let links = if matches!(one.body, Body::Directory(_)) { 1 } else { one.links };
        let rest = Node {
            number: other.number,
            body: other.body.clone(),
            links,
            created: one.created.or(Some(one.modified)),
            ..one.clone()
        };
        assert_eq!(&rest, other, "{path}");
        match (&one.body, &other.body) {
            (Body::File(Content::Extents(_)), Body::File(content)) => {
                same_content(written, one, content, source)
            }
            (one, other) => assert_eq!(one, other, "{path}"),
        }
    }
}

fn same_content(written: &Scan, node: &Node, content: &Content, source: &dyn Source) {
    let id = written.tree.nodes.iter().position(|other| std::ptr::eq(node, other)).unwrap();
    let path = &written.paths[id];
    let file = File::open(path).unwrap();
    let mut at = 0;
    while at < node.size {
        let length = (node.size - at).min(4 * MIB) as usize;
        let mut expected = vec![0; length];
        file.read_exact_at(&mut expected, at).unwrap();
        assert!(expected == read(content, at, length, source), "{} differs at {at}", path.display());
        at += length as u64;
    }
}

fn read(content: &Content, at: u64, length: usize, source: &dyn Source) -> Vec<u8> {
    let mut bytes = vec![0; length];
    match content {
        Content::Inline(inline) => bytes.copy_from_slice(&inline[at as usize..at as usize + length]),
        Content::Unreadable(reason) => panic!("{reason}"),
        Content::Extents(extents) => {
            for extent in extents {
                let start = extent.at.max(at);
                let end = (extent.at + extent.length).min(at + length as u64);
                if start < end {
                    let part = &mut bytes[(start - at) as usize..(end - at) as usize];
                    source.read_at(part, extent.from + (start - extent.at)).unwrap();
                }
            }
        }
    }
    bytes
}

fn open<'a>(source: &'a dyn Source) -> Btrfs<'a> {
    Btrfs::open(source).unwrap()
}
