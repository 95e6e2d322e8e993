//! The packed root tree, looked into: what it has, where it is in the tar.

use super::source::Raw;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use tar::{Archive, EntryType};

/// Blocks of a tar are this long. Source: POSIX.1-2017, pax, "ustar Interchange Format".
const BLOCK: u64 = 512;

/// A file, folder, link or device of the tree.
pub struct Item {
    /// With a slash in front, none behind; bytes that are no UTF-8 only matter to whoever looks for names.
    pub path: String,
    /// As it stands in the tar.
    pub name: Vec<u8>,
    pub kind: EntryType,
    pub mode: u32,
    pub owner: u64,
    pub group: u64,
    /// Seconds since 1970.
    pub time: u64,
    /// Of a device: major and minor number.
    pub device: (u32, u32),
    /// Where a link leads to.
    pub target: Vec<u8>,
    /// A plain file's bytes in the tar.
    pub data: Range<u64>,
    /// Everything that the tar has of it, extended headers included.
    pub span: Range<u64>,
}

/// What is in the tree.
pub struct Tree<'f> {
    pub file: &'f File,
    /// In the order of the tar.
    pub items: Vec<Item>,
    folders: BTreeMap<String, BTreeSet<String>>,
}

impl<'f> Tree<'f> {
    pub fn read(root: &'f Raw) -> io::Result<Tree<'f>> {
        let mut tree = Tree { file: root.file(), items: Vec::new(), folders: BTreeMap::new() };
        let mut archive = Archive::new(Reader { file: root.file(), at: 0 });
        let mut from = 0;
        for entry in archive.entries_with_seek()? {
            let entry = entry?;
            let header = entry.header();
            let name = entry.path_bytes().into_owned();
            let path =
                format!("/{}", String::from_utf8_lossy(&name).trim_start_matches("./").trim_matches('/'));
            let at = entry.raw_file_position();
            let data = at..at + entry.size();
            let end = data.end.next_multiple_of(BLOCK);
            let item = Item {
                kind: header.entry_type(),
                mode: header.mode()?,
                owner: header.uid()?,
                group: header.gid()?,
                time: header.mtime()?,
                device: (
                    header.device_major().ok().flatten().unwrap_or(0),
                    header.device_minor().ok().flatten().unwrap_or(0),
                ),
                target: entry.link_name_bytes().unwrap_or_default().into_owned(),
                path,
                name,
                data,
                span: from..end,
            };
            from = end;
            if let Some((folder, name)) = item.path.rsplit_once('/') {
                let folder = if folder.is_empty() { "/" } else { folder };
                tree.folders.entry(folder.to_owned()).or_default().insert(name.to_owned());
            }
            tree.items.push(item);
        }
        Ok(tree)
    }

    /// The names in a folder, sorted.
    pub fn list(&self, folder: &str) -> Vec<String> {
        self.folders.get(folder).into_iter().flatten().cloned().collect()
    }

    pub fn find(&self, path: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.path == path)
    }

    /// A plain file's bytes.
    pub fn reader(&self, item: &Item) -> impl Read + use<'f> {
        Reader { file: self.file, at: item.data.start }.take(item.data.end - item.data.start)
    }

    /// The same tar with only some of its entries.
    pub fn copy_some(&self, wanted: impl Fn(&Item) -> bool, out: &mut impl io::Write) -> io::Result<()> {
        for item in self.items.iter().filter(|item| wanted(item)) {
            let length = item.span.end - item.span.start;
            io::copy(&mut Reader { file: self.file, at: item.span.start }.take(length), out)?;
        }
        // Two empty blocks end it.
        out.write_all(&[0; 2 * BLOCK as usize])
    }
}

/// Reads with a place of its own in the file.
struct Reader<'f> {
    file: &'f File,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.at.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?,
            SeekFrom::End(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        Ok(self.at)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A packed tree that a kernel could start: hard links, a long name, a device, a pipe.
    pub fn packed() -> File {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["boot", "etc", "sbin", "usr"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        for (name, text) in [
            ("boot/vmlinuz-6.1", "a kernel"),
            ("boot/initrd.img-6.1", "its initramfs"),
            ("etc/fstab", "PARTUUID=x / ext4 defaults 0 1\n"),
            ("etc/hostname", "here\n"),
            ("sbin/init", "#!/bin/sh\n"),
        ] {
            std::fs::write(path(name), text).unwrap();
        }
        std::fs::write(path("usr").join("n".repeat(150)), "long").unwrap();
        std::fs::set_permissions(path("sbin/init"), PermissionsExt::from_mode(0o4755)).unwrap();
        std::fs::hard_link(path("etc/hostname"), path("etc/name")).unwrap();
        std::os::unix::fs::symlink("hostname", path("etc/link")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let out = tempfile::tempfile().unwrap();
        crate::content::pack(folder.path(), 1_700_000_000, &out).unwrap();
        out
    }

    #[test]
    fn some_of_a_tar_is_a_tar() {
        let file = packed();
        let raw = Raw::new(&file).unwrap();
        let tree = Tree::read(&raw).unwrap();
        assert_eq!(tree.list("/boot"), ["initrd.img-6.1", "vmlinuz-6.1"]);
        let mut text = String::new();
        tree.reader(tree.find("/etc/hostname").unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "here\n");
        let mut some = Vec::new();
        tree.copy_some(|item| item.path != "/etc/fstab", &mut some).unwrap();
        let mut archive = Archive::new(&some[..]);
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names.len(), tree.items.len() - 1);
        assert!(names.iter().any(|name| name.ends_with(&"n".repeat(150))), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("fstab")));
    }
}
