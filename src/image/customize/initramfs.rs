//! Adds files to existing initramfs images.
//!
//! An initramfs is a sequence of cpio archives, which the kernel unpacks in order; later files replace earlier ones.
//! Files that depend on the template are therefore appended to the images of the package contents. Source: Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use crate::content::Tree;
use crate::host::Failure;
use crate::plan::System;
use std::collections::BTreeMap;

/// Appends the files of the plan to every initramfs of the tree.
pub fn extend_initramfs(tree: &Tree, system: &System, epoch: u64) -> Result<(), Failure> {
    if system.initramfs.is_empty() {
        return Ok(());
    }
    let archive = archive(&system.initramfs, epoch);
    let is_initramfs = |name: &&String| name.starts_with("initrd.img-") || name.starts_with("initramfs-");
    for name in tree.list("/boot").iter().filter(is_initramfs) {
        tree.append(&format!("/boot/{name}"), &archive)?;
    }
    Ok(())
}

/// Alignment of each archive.
const ALIGNMENT: usize = 4;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;

/// Creates a cpio archive in the "newc" format, including the parent directories. Source: buffer-format.rst, as
/// above.
fn archive(files: &BTreeMap<String, String>, epoch: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut inode = 0;
    let mut add = |name: &str, mode: u32, data: &[u8]| {
        inode += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        let fields =
            [inode, mode, 0, 0, links, epoch as u32, data.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        out.extend(b"070701");
        for field in fields {
            out.extend(format!("{field:08x}").bytes());
        }
        out.extend(name.bytes());
        out.push(0);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
        out.extend(data);
        out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    };
    let mut directories: Vec<&str> = Vec::new();
    for (path, text) in files {
        let name = path.trim_start_matches('/');
        for (end, _) in name.match_indices('/') {
            if !directories.contains(&&name[..end]) {
                directories.push(&name[..end]);
                add(&name[..end], DIRECTORY, b"");
            }
        }
        add(name, FILE, text.as_bytes());
    }
    add("TRAILER!!!", 0, b"");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpio_reads_it() {
        use crate::host::{Invocation, run};
        let files = [("/cryptroot/crypttab".to_owned(), "root UUID=x none luks\n".to_owned())].into();
        let archive = archive(&files, 1000);
        assert_eq!(archive.len() % ALIGNMENT, 0);
        assert!(archive.starts_with(b"070701"));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.cpio"), &archive).unwrap();
        let cpio =
            Invocation::new("cpio").args(["-i", "--quiet", "-d", "-F", "a.cpio"]).directory(directory.path());
        run(&cpio).unwrap();
        let text = std::fs::read_to_string(directory.path().join("cryptroot/crypttab")).unwrap();
        assert_eq!(text, "root UUID=x none luks\n");
    }
}
