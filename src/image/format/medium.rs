//! Published files that are not disks: packed root trees, OCI images, network boot archives, CDs. This module takes
//! them apart for verification, regardless of the program that made them.

use super::iso::{self, BootCatalog};
use super::tree::Tree as PackedTree;
use super::unpack::unpacked;
use super::unreadable::Unreadable;
use super::{initramfs, oci, pxe};
use crate::disk::{Packed, ReadError, Tree, Unpacked, Window, unpack};
use crate::host::{Context, Failure};
use crate::plan::Firmware;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediumKind {
    Tree,
    Oci,
    NetworkBoot,
    Cd,
    /// The kind cannot be determined because of the damage.
    Damaged,
}

impl fmt::Display for MediumKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MediumKind::Tree => "packed root tree",
            MediumKind::Oci => "OCI image",
            MediumKind::NetworkBoot => "network boot",
            MediumKind::Cd => "CD",
            MediumKind::Damaged => "damaged file",
        })
    }
}

/// The parts of a medium.
pub struct Medium {
    pub kind: MediumKind,
    /// The root tree, or the reason why it cannot be read.
    pub root: Result<RootTree, String>,
    /// Errors in the archive.
    pub damage: Vec<String>,
    /// Kernel, initramfs and command line; `None` if it is not bootable.
    pub start: Option<Start>,
    /// Data of a CD for firmware and boot loaders.
    pub cd: Option<Box<Cd>>,
}

/// A CD as seen by firmware and boot loaders.
pub struct Cd {
    pub file: File,
    pub tree: Tree,
    /// The images in the boot catalog, with their byte ranges.
    pub images: Vec<(Firmware, Range<u64>)>,
}

impl Medium {
    /// Creates a medium for a file that could not be unpacked, with the reason.
    pub fn damaged(why: &Failure) -> Medium {
        let why = std::iter::once(&why.message).chain(&why.details).chain(&why.help).map(String::as_str);
        let root = Err(why.collect::<Vec<_>>().join(": "));
        Medium { kind: MediumKind::Damaged, root, damage: Vec::new(), start: None, cd: None }
    }
}

/// A tree and the archive that contains the data of its files.
pub struct RootTree {
    pub file: File,
    pub tree: Tree,
}

/// The input of a boot loader for Linux.
pub struct Start {
    /// Name and first bytes of the kernel; `None` if the file is missing.
    pub kernel: (String, Option<Vec<u8>>),
    pub initrds: Vec<(String, Option<Vec<u8>>)>,
    pub command_line: String,
    /// Boot images of a CD.
    pub cd: Option<BootCatalog>,
}

/// Number of bytes that identify a kernel or an initramfs.
pub(super) const HEAD: usize = 4096;

/// Takes apart a tar that does not contain a disk.
pub(super) fn of_archive(file: File, scratch: &Path) -> Result<Option<Medium>, Failure> {
    let names: Vec<String> = match tar_tree(&file) {
        Ok(packed) => packed.items.into_iter().map(|item| item.path).collect(),
        // The archive is truncated or damaged. Report this error for it.
        Err(error) => {
            let root = Err(error.to_string());
            return Ok(Some(Medium {
                kind: MediumKind::Tree,
                root,
                damage: Vec::new(),
                start: None,
                cd: None,
            }));
        }
    };
    let has = |path: &str| names.iter().any(|name| name == path);
    if has("/oci-layout") {
        return oci_image(&file, scratch).map(Some);
    }
    if has(&format!("/{}", pxe::MENU)) {
        return network_boot(&file, scratch).map(Some);
    }
    if has("/etc") && has("/usr") {
        let root = root_tree(file, tar_tree);
        return Ok(Some(Medium { kind: MediumKind::Tree, root, damage: Vec::new(), start: None, cd: None }));
    }
    Ok(None)
}

fn tar_tree(file: &File) -> std::io::Result<PackedTree<'_>> {
    PackedTree::read_file(file)
}

/// Reads an archive into a tree.
fn root_tree(
    file: File,
    read: impl for<'f> Fn(&'f File) -> std::io::Result<PackedTree<'f>>,
) -> Result<RootTree, String> {
    let tree = read(&file).map_err(|error| error.to_string()).and_then(|packed| packed.nodes())?;
    Ok(RootTree { file, tree })
}

fn oci_image(file: &File, scratch: &Path) -> Result<Medium, Failure> {
    let (layers, damage) =
        oci::layers(file, scratch).context(|| "could not read the OCI image".to_owned())?;
    let root = match layers {
        Ok(layer) => unpacked(layer, scratch)
            .map_err(|failure| failure.message)
            .and_then(|tar| root_tree(tar, tar_tree)),
        Err(count) => Err(format!("it has {count} layers; only images with one layer are supported")),
    };
    Ok(Medium { kind: MediumKind::Oci, root, damage, start: None, cd: None })
}

fn network_boot(tar: &File, scratch: &Path) -> Result<Medium, Failure> {
    let parts = pxe::parts(tar, scratch).context(|| "could not read the archive".to_owned())?;
    let head = |file: &Option<File>| file.as_ref().map(head);
    let start = Start {
        kernel: (pxe::KERNEL.to_owned(), head(&parts.kernel)),
        initrds: vec![(pxe::INITRD.to_owned(), head(&parts.initrd))],
        command_line: parts.command_line.unwrap_or_default(),
        cd: None,
    };
    let root = match parts.initrd {
        None => Err(format!("`{}` is missing", pxe::INITRD)),
        Some(initrd) => unpacked(initrd, scratch)
            .map_err(|failure| failure.message)
            .and_then(|cpio| root_tree(cpio, initramfs::read)),
    };
    Ok(Medium { kind: MediumKind::NetworkBoot, root, damage: Vec::new(), start: Some(start), cd: None })
}

fn head(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; HEAD];
    let count = file.read_at(&mut bytes, 0).unwrap_or(0);
    bytes.truncate(count);
    bytes
}

/// Returns whether a file contains an ISO 9660 filesystem. Source: ECMA-119, 8.1.
pub(super) fn is_cd(file: &File) -> bool {
    let mut bytes = [0; 5];
    file.read_exact_at(&mut bytes, 16 * iso::SECTOR + 1).is_ok() && bytes == *b"CD001"
}

/// Returns up to `most` bytes of each initramfs of the first menu entry of a CD. Empty if the file is not a CD.
pub fn initramfs_of_cd(file: &File, most: usize) -> Result<Vec<Vec<u8>>, Failure> {
    if !is_cd(file) {
        return Ok(Vec::new());
    }
    let contents = iso::Contents::read(file).map_err(Unreadable::failure)?;
    let (_, names, _) = contents.menu();
    Ok(names.iter().filter_map(|name| contents.bytes(name, most)).collect())
}

/// Takes a CD apart: boot loaders and the root tree of a live system.
pub(super) fn of_cd(file: &File, scratch: &Path) -> Result<Medium, Unreadable> {
    let contents = iso::Contents::read(file)?;
    let (kernel, initrds, command_line) = contents.menu();
    let with_head = |name: String| {
        let bytes = contents.bytes(&name, HEAD);
        (name, bytes)
    };
    // For CDs of other programs, the verifier follows their boot loaders instead.
    let start = contents.is_own().then(|| Start {
        kernel: with_head(kernel),
        initrds: initrds.into_iter().map(with_head).collect(),
        command_line,
        cd: Some(contents.start()),
    });
    let root = match contents.squashfs() {
        None => Err("no squashfs filesystem in /live".to_owned()),
        Some(range) => match squashfs_tree(file, range, scratch) {
            Err(Unreadable::Damaged(why)) => Err(why.message),
            tree => Ok(tree?),
        },
    };
    let file = file.try_clone().context(|| "could not read the CD".to_owned())?;
    let cd = Cd { file, tree: contents.tree(), images: contents.images() };
    Ok(Medium { kind: MediumKind::Cd, root, damage: Vec::new(), start, cd: Some(Box::new(cd)) })
}

/// Reads the squashfs filesystem in a byte range of a CD.
fn squashfs_tree(cd: &File, range: Range<u64>, scratch: &Path) -> Result<RootTree, Unreadable> {
    let window = Window { file: cd, offset: range.start, size: range.end.saturating_sub(range.start) };
    match unpack(Packed::Squashfs, &window, scratch) {
        Ok(Unpacked { tree, file, .. }) => Ok(RootTree { file, tree }),
        Err(error @ (ReadError::Damaged { .. } | ReadError::Unsupported(_))) => {
            Err(Unreadable::Damaged(Failure::new(error.to_string())))
        }
        Err(error) => Err(Failure::new("could not unpack the root tree of the CD")
            .caused_by(&error)
            .help(format!("free some space in `{}`, or set TMPDIR to another directory", scratch.display()))
            .into()),
    }
}
