//! Index of a packed root tree: items and their positions in the tar.

use super::source::Raw;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use tar::{Archive, EntryType};

/// Size of a tar block in bytes. Source: POSIX.1-2017, pax, "ustar Interchange Format".
const BLOCK: u64 = 512;

/// A file, directory, link or device of the tree.
pub(super) struct Item {
    /// Absolute path without a trailing slash. Invalid UTF-8 is replaced, which matters only for lookups.
    pub path: String,
    /// Name as stored in the tar.
    pub name: Vec<u8>,
    pub kind: EntryType,
    pub mode: u32,
    pub owner: u64,
    pub group: u64,
    /// Seconds since 1970.
    pub time: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Target of a link.
    pub target: Vec<u8>,
    /// Byte range of a regular file's data in the tar.
    pub data: Range<u64>,
    /// Names of the extended attributes.
    pub attributes: Vec<String>,
    /// Byte range of the item in the tar, including extended headers.
    pub span: Range<u64>,
}

/// An indexed tree.
pub(super) struct Tree<'f> {
    pub file: &'f File,
    /// In the order of the tar.
    pub items: Vec<Item>,
    directories: BTreeMap<String, BTreeSet<String>>,
}

impl<'f> Tree<'f> {
    pub(super) fn read(root: &'f Raw) -> io::Result<Tree<'f>> {
        Tree::read_file(root.file())
    }

    pub(super) fn read_file(file: &'f File) -> io::Result<Tree<'f>> {
        let end_of_file = file.metadata()?.len();
        let mut items = Vec::new();
        let mut archive = Archive::new(TreeReader { file, at: 0 });
        let mut from = 0;
        for entry in archive.entries_with_seek()? {
            let mut entry = entry?;
            let attributes = attributes_of(&mut entry)?;
            let header = entry.header();
            let name = entry.path_bytes().into_owned();
            let path =
                format!("/{}", String::from_utf8_lossy(&name).trim_start_matches("./").trim_matches('/'));
            let at = entry.raw_file_position();
            // The stored size. The apparent size of a sparse file is larger.
            let data = at..at.saturating_add(header.entry_size()?);
            let end = data.end.next_multiple_of(BLOCK);
            if end > end_of_file {
                return Err(io::Error::other(format!("the archive is truncated in `{path}`")));
            }
            let item = Item {
                kind: header.entry_type(),
                // Some programs omit fields that they do not need.
                mode: header.mode().unwrap_or(0),
                owner: header.uid().unwrap_or(0),
                group: header.gid().unwrap_or(0),
                time: header.mtime().unwrap_or(0),
                device: (
                    header.device_major().ok().flatten().unwrap_or(0),
                    header.device_minor().ok().flatten().unwrap_or(0),
                ),
                target: entry.link_name_bytes().unwrap_or_default().into_owned(),
                path,
                name,
                data,
                attributes,
                span: from..end,
            };
            from = end;
            items.push(item);
        }
        let mut last = [1; BLOCK as usize];
        if file.read_exact_at(&mut last, from).is_err() || last != [0; BLOCK as usize] {
            return Err(io::Error::other("the end of the archive is missing"));
        }
        Ok(Tree::of(file, items))
    }

    /// Creates a tree from the items of an archive.
    pub(super) fn of(file: &'f File, items: Vec<Item>) -> Tree<'f> {
        let mut directories: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (directory, name) in items.iter().filter_map(|item| item.path.rsplit_once('/')) {
            let directory = if directory.is_empty() { "/" } else { directory };
            directories.entry(directory.to_owned()).or_default().insert(name.to_owned());
        }
        Tree { file, items, directories }
    }

    /// Returns the sorted names in a directory.
    pub(super) fn list(&self, directory: &str) -> Vec<String> {
        self.directories.get(directory).into_iter().flatten().cloned().collect()
    }

    pub(super) fn find(&self, path: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.path == path)
    }

    /// Returns a reader of a regular file's data.
    pub(super) fn reader(&self, item: &Item) -> impl Read + use<'f> {
        TreeReader { file: self.file, at: item.data.start }.take(item.data.end - item.data.start)
    }

    /// Describes the extended attributes that are lost if only some can be stored; `None` if none are lost.
    pub(super) fn lost(
        &self,
        wanted: impl Fn(&Item) -> bool,
        keeps: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let losing = |item: &&Item| wanted(item) && item.attributes.iter().any(|name| !keeps(name));
        let mut losers = self.items.iter().filter(losing);
        let first = losers.next()?;
        let names: Vec<&str> =
            first.attributes.iter().map(String::as_str).filter(|name| !keeps(name)).collect();
        let more = match losers.count() {
            0 => String::new(),
            count => format!(" and of {count} more files"),
        };
        Some(format!("{} of `{}`{more}", names.join(" and "), first.path))
    }

    /// Writes a tar with only some of the entries.
    pub(super) fn copy_some(
        &self,
        wanted: impl Fn(&Item) -> bool,
        out: &mut impl io::Write,
    ) -> io::Result<()> {
        for item in self.items.iter().filter(|item| wanted(item)) {
            let length = item.span.end - item.span.start;
            io::copy(&mut TreeReader { file: self.file, at: item.span.start }.take(length), out)?;
        }
        // Two empty blocks mark the end of a tar.
        out.write_all(&[0; 2 * BLOCK as usize])
    }
}

/// Returns the names of extended attributes. Source: star(5), "SCHILY.xattr", also used by GNU tar and bsdtar.
fn attributes_of(entry: &mut tar::Entry<impl Read>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let name = String::from_utf8_lossy(extension.key_bytes());
        names.extend(name.strip_prefix("SCHILY.xattr.").map(str::to_owned));
    }
    Ok(names)
}

/// A reader with a separate position in the file.
struct TreeReader<'f> {
    file: &'f File,
    at: u64,
}

impl Read for TreeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for TreeReader<'_> {
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
pub(super) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A packed tree with a kernel, hard links, a long name and a FIFO.
    pub(crate) fn packed() -> File {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
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
        crate::content::pack(directory.path(), 1_700_000_000, &out).unwrap();
        out
    }

    #[test]
    fn truncated_tar_is_detected() {
        let file = packed();
        let size = file.metadata().unwrap().len();
        assert!(Tree::read_file(&file).is_ok());
        for (cut, why) in
            [(1024, "the end of the archive is missing"), (1536, "the archive is truncated in ")]
        {
            file.set_len(size - cut).unwrap();
            let error = Tree::read_file(&file).err().unwrap().to_string();
            assert!(error.starts_with(why), "{cut}: {error}");
        }
    }

    #[test]
    fn partial_copy_is_a_valid_tar() {
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
