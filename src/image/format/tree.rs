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

/// A file, directory, link or device of the tree.
pub(super) struct Item {
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
    /// Names of its extended attributes.
    pub attributes: Vec<String>,
    /// Everything that the tar has of it, extended headers included.
    pub span: Range<u64>,
}

/// What is in the tree.
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
        let mut archive = Archive::new(Reader { file, at: 0 });
        let mut from = 0;
        for entry in archive.entries_with_seek()? {
            let mut entry = entry?;
            let attributes = attributes_of(&mut entry)?;
            let header = entry.header();
            let name = entry.path_bytes().into_owned();
            let path =
                format!("/{}", String::from_utf8_lossy(&name).trim_start_matches("./").trim_matches('/'));
            let at = entry.raw_file_position();
            // What is stored: a sparse file is larger than that.
            let data = at..at.saturating_add(header.entry_size()?);
            let end = data.end.next_multiple_of(BLOCK);
            if end > end_of_file {
                return Err(io::Error::other(format!("it is cut in the middle of `{path}`")));
            }
            let item = Item {
                kind: header.entry_type(),
                // Some leave out what they have no use for.
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
            return Err(io::Error::other("its end is missing"));
        }
        Ok(Tree::of(file, items))
    }

    /// Of what was found in an archive.
    pub(super) fn of(file: &'f File, items: Vec<Item>) -> Tree<'f> {
        let mut directories: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (directory, name) in items.iter().filter_map(|item| item.path.rsplit_once('/')) {
            let directory = if directory.is_empty() { "/" } else { directory };
            directories.entry(directory.to_owned()).or_default().insert(name.to_owned());
        }
        Tree { file, items, directories }
    }

    /// The names in a directory, sorted.
    pub(super) fn list(&self, directory: &str) -> Vec<String> {
        self.directories.get(directory).into_iter().flatten().cloned().collect()
    }

    pub(super) fn find(&self, path: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.path == path)
    }

    /// A plain file's bytes.
    pub(super) fn reader(&self, item: &Item) -> impl Read + use<'f> {
        Reader { file: self.file, at: item.data.start }.take(item.data.end - item.data.start)
    }

    /// What is lost where only some extended attributes are kept, in words; nothing if nothing is.
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
            count => format!(", and those of {count} more"),
        };
        Some(format!("{} of `{}`{more}", names.join(" and "), first.path))
    }

    /// The same tar with only some of its entries.
    pub(super) fn copy_some(
        &self,
        wanted: impl Fn(&Item) -> bool,
        out: &mut impl io::Write,
    ) -> io::Result<()> {
        for item in self.items.iter().filter(|item| wanted(item)) {
            let length = item.span.end - item.span.start;
            io::copy(&mut Reader { file: self.file, at: item.span.start }.take(length), out)?;
        }
        // Two empty blocks end it.
        out.write_all(&[0; 2 * BLOCK as usize])
    }
}

/// Source: star(5), "SCHILY.xattr"; GNU tar and bsdtar write the same.
fn attributes_of(entry: &mut tar::Entry<impl Read>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let name = String::from_utf8_lossy(extension.key_bytes());
        names.extend(name.strip_prefix("SCHILY.xattr.").map(str::to_owned));
    }
    Ok(names)
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
pub(super) mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A packed tree that a kernel could start: hard links, a long name, a device, a pipe.
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
    fn a_tar_that_is_cut_is_told_from_a_whole_one() {
        let file = packed();
        let size = file.metadata().unwrap().len();
        assert!(Tree::read_file(&file).is_ok());
        for (cut, why) in [(1024, "its end is missing"), (1536, "it is cut in the middle of ")] {
            file.set_len(size - cut).unwrap();
            let error = Tree::read_file(&file).err().unwrap().to_string();
            assert!(error.starts_with(why), "{cut}: {error}");
        }
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
