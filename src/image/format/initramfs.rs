//! A root tree as an initramfs, which the kernel unpacks into memory and boots. Source: Linux,
//! Documentation/driver-api/early-userspace/buffer-format.rst ("newc").

use super::tree::{Item, Tree};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use tar::EntryType;

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";
const LINK: u32 = 0o120_000;
/// Path of the program that the kernel runs.
const INIT: &str = "init";

/// Writes the tree as a cpio archive. `init` is the target of the symbolic link `/init`. The format cannot store
/// extended attributes.
pub(super) fn write(
    tree: &Tree,
    wanted: impl Fn(&Item) -> bool,
    init: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut writer = Writer { out, written: 0 };
    let mut numbers: HashMap<&[u8], (u32, u32)> = HashMap::new();
    let items = || tree.items.iter().filter(|item| wanted(item));
    for item in items().filter(|item| item.kind == EntryType::Link) {
        numbers.entry(&item.target).or_insert((0, 1)).1 += 1;
    }
    for (index, item) in items().enumerate() {
        let number = index as u32 + 1;
        let name =
            item.path.as_bytes().strip_prefix(b"/").filter(|_| item.name.is_ascii()).unwrap_or(&item.name);
        let mut head = Head {
            number,
            mode: item.mode | kind_bits(item.kind),
            owner: item.owner as u32,
            group: item.group as u32,
            links: 1,
            time: item.time as u32,
            size: 0,
            device: item.device,
        };
        match item.kind {
            EntryType::Link => {
                // The kernel recognizes hard links by the inode number.
                let first = numbers.get(item.target.as_slice()).filter(|(number, _)| *number != 0);
                let Some((first, links)) = first else {
                    return Err(io::Error::other(format!(
                        "the target of the hard link `{}` is missing",
                        item.path
                    )));
                };
                head.mode |= kind_bits(EntryType::Regular);
                (head.number, head.links) = (*first, *links);
                writer.entry(&head, name)?;
            }
            EntryType::Symlink => {
                head.size = item.target.len() as u32;
                writer.entry(&head, name)?;
                writer.data(&mut &item.target[..])?;
            }
            EntryType::Regular => {
                if let Some(numbers) = numbers.get_mut(item.name.as_slice()) {
                    numbers.0 = number;
                    head.links = numbers.1;
                }
                head.size = u32::try_from(item.data.end - item.data.start).map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::FileTooLarge,
                        format!(
                            "`{}` is too large for an initramfs, whose files must be smaller than 4 GiB",
                            item.path
                        ),
                    )
                })?;
                writer.entry(&head, name)?;
                writer.data(&mut tree.reader(item))?;
            }
            _ => writer.entry(&head, name)?,
        }
    }
    let mut head = Head {
        mode: LINK | 0o777,
        size: init.len() as u32,
        number: tree.items.len() as u32 + 2,
        ..Head::default()
    };
    writer.entry(&head, INIT.as_bytes())?;
    writer.data(&mut init.as_bytes())?;
    head = Head::default();
    writer.entry(&head, TRAILER.as_bytes())
}

/// Returns the file type bits of a mode. Source: inode(7).
fn kind_bits(kind: EntryType) -> u32 {
    match kind {
        EntryType::Regular => 0o100_000,
        EntryType::Directory => 0o040_000,
        EntryType::Symlink => LINK,
        EntryType::Char => 0o020_000,
        EntryType::Block => 0o060_000,
        EntryType::Fifo => 0o010_000,
        _ => 0,
    }
}

struct Head {
    number: u32,
    mode: u32,
    owner: u32,
    group: u32,
    links: u32,
    time: u32,
    size: u32,
    device: (u32, u32),
}

impl Default for Head {
    fn default() -> Self {
        Head { number: 0, mode: 0, owner: 0, group: 0, links: 1, time: 0, size: 0, device: (0, 0) }
    }
}

/// Reads the first archive of an initramfs. Appended archives are ignored.
///
/// # Errors
/// The file is not a cpio archive or is truncated.
pub(super) fn read(file: &File) -> io::Result<Tree<'_>> {
    /// Size of an entry header without the name.
    const HEAD: usize = 110;
    const LONGEST_NAME: u64 = 4096;
    let mut items: Vec<Item> = Vec::new();
    // Items with several names, by inode number.
    let mut linked: HashMap<u64, Vec<usize>> = HashMap::new();
    let damaged = |at: u64| {
        let what = format!("invalid initramfs entry at byte {at}");
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    let mut at = 0;
    loop {
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, at)?;
        let text = std::str::from_utf8(&head).ok().filter(|text| text.is_ascii() && text.starts_with(MAGIC));
        let text = text.ok_or_else(|| damaged(at))?;
        let field = |index: usize| {
            let place = MAGIC.len() + 8 * index;
            u64::from_str_radix(&text[place..place + 8], 16).map_err(|_| damaged(at))
        };
        let (number, mode, size, length) = (field(0)?, field(1)? as u32, field(6)?, field(11)?);
        if !(1..=LONGEST_NAME).contains(&length) {
            return Err(damaged(at));
        }
        let mut name = vec![0; length as usize - 1];
        file.read_exact_at(&mut name, at + HEAD as u64)?;
        if name == TRAILER.as_bytes() {
            break;
        }
        let start = (at + HEAD as u64 + length).next_multiple_of(4);
        let end = (start + size).next_multiple_of(4);
        let mut target = Vec::new();
        let kind = kind_of(mode);
        if kind == EntryType::Symlink {
            target = vec![0; size.min(LONGEST_NAME) as usize];
            file.read_exact_at(&mut target, start)?;
        } else if kind == EntryType::Regular && field(4)? > 1 {
            linked.entry(number).or_default().push(items.len());
        }
        let path = String::from_utf8_lossy(&name).trim_start_matches("./").trim_matches('/').to_owned();
        items.push(Item {
            path: if path == "." { "/".to_owned() } else { format!("/{path}") },
            name,
            kind,
            mode: mode & 0o7777,
            owner: field(2)?,
            group: field(3)?,
            time: field(5)?,
            device: (field(9)? as u32, field(10)? as u32),
            target,
            data: start..start + size,
            attributes: Vec::new(),
            span: at..end,
        });
        at = end;
    }
    // One of the names, in any position, has the data. The first name gets it and the others become links.
    for names in linked.into_values() {
        let first = names[0];
        if let Some(full) = names.iter().find(|index| !items[**index].data.is_empty()) {
            items[first].data = items[*full].data.clone();
        }
        let target = items[first].path.clone().into_bytes();
        for index in &names[1..] {
            (items[*index].kind, items[*index].target) = (EntryType::Link, target.clone());
            items[*index].data = 0..0;
        }
    }
    Ok(Tree::of(file, items))
}

fn kind_of(mode: u32) -> EntryType {
    [EntryType::Directory, EntryType::Symlink, EntryType::Char, EntryType::Block, EntryType::Fifo]
        .into_iter()
        .find(|kind| kind_bits(*kind) == mode & 0o170_000)
        .unwrap_or(EntryType::Regular)
}

struct Writer<'o, W> {
    out: &'o mut W,
    written: u64,
}

impl<W: Write> Writer<'_, W> {
    fn entry(&mut self, head: &Head, name: &[u8]) -> io::Result<()> {
        let Head { number, mode, owner, group, links, time, size, device } = head;
        let fields = [
            *number,
            *mode,
            *owner,
            *group,
            *links,
            *time,
            *size,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0,
        ];
        let mut text = MAGIC.to_owned();
        for field in fields {
            text.push_str(&format!("{field:08x}"));
        }
        self.put(text.as_bytes())?;
        self.put(name)?;
        self.put(&[0])?;
        self.align()
    }

    fn data(&mut self, data: &mut impl io::Read) -> io::Result<()> {
        self.written += io::copy(data, self.out)?;
        self.align()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn align(&mut self) -> io::Result<()> {
        let rest = (self.written.next_multiple_of(4) - self.written) as usize;
        self.put(&[0; 3][..rest])
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Raw;
    use super::super::tree::tests::packed;
    use super::*;
    use std::process::{Command, Stdio};

    /// Extracts the archive with GNU cpio, including hard links.
    #[test]
    fn cpio_extracts_the_archive() {
        let file = packed();
        let raw = Raw::new(&file).unwrap();
        let tree = Tree::read(&raw).unwrap();
        let mut made = Vec::new();
        write(&tree, |item| item.path != "/etc/fstab", "sbin/init", &mut made).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut cpio = Command::new("cpio")
            .args(["-idm", "--quiet"])
            .current_dir(directory.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        cpio.stdin.take().unwrap().write_all(&made).unwrap();
        assert!(cpio.wait().unwrap().success());
        let at = |name: &str| directory.path().join(name);
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::read_to_string(at("etc/name")).unwrap(), "here\n");
        assert_eq!(at("etc/name").metadata().unwrap().ino(), at("etc/hostname").metadata().unwrap().ino());
        assert_eq!(std::fs::read_link(at("init")).unwrap(), std::path::Path::new("sbin/init"));
        assert_eq!(at("sbin/init").metadata().unwrap().mode(), 0o104_755);
        assert!(at("usr").join("n".repeat(150)).exists() && at("pipe").exists());
        assert!(!at("etc/fstab").exists());
    }
}
