//! The root tree of an ISO image as squashfs. mksquashfs packs the tree. The listing of unsquashfs must match the
//! tree.

use super::iso::reproducible;
use super::pxe::is_inside;
use super::tree::{Item, Tree};
use crate::host::{Context, Failure, Invocation, inherited_name, run, run_with_input};
use crate::plan::Diskless;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use tar::EntryType;

/// Six times as fast as level 15, with 5 % larger output.
const LEVEL: &str = "9";
const BLOCK: &str = "128K";
/// Prefix of paths in the listing of unsquashfs.
const ROOT: &str = "squashfs-root";

/// Packs the tree into an unnamed file in `scratch`. `time` is in seconds since 1970.
pub(super) fn squashfs(tree: &Tree, diskless: &Diskless, time: u64, scratch: &Path) -> Result<File, Failure> {
    let context = || "could not pack the root tree as squashfs".to_owned();
    let out = tempfile::tempfile_in(scratch).context(context)?;
    let maker = Invocation::new("mksquashfs")
        .kill_on_exit()
        .arg("-")
        .arg(inherited_name(&out))
        .inheriting(&out)?
        .args(["-tar", "-noappend", "-comp", "zstd", "-Xcompression-level", LEVEL, "-b", BLOCK])
        // The tar has no entry for the root directory.
        .args(["-root-mode", "0755", "-root-uid", "0", "-root-gid", "0"])
        .args(["-mem", "512M", "-no-progress", "-quiet", "-exit-on-error"]);
    let (tar, into) = io::pipe().context(context)?;
    let (packed, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let mut buffer = BufWriter::with_capacity(1 << 20, into);
            tree.copy_some(|item| is_inside(item, diskless), &mut buffer)?;
            buffer.flush()
        });
        let packed = run_with_input(&reproducible(maker, time), File::from(std::os::fd::OwnedFd::from(tar)));
        (packed, writer.join().expect("the writer thread does not panic"))
    });
    // If mksquashfs exited early, its error is more useful than the broken pipe.
    packed?;
    written.context(context)?;
    let listing = run(&reproducible(Invocation::new("unsquashfs"), time)
        .arg("-lln")
        .arg(inherited_name(&out))
        .inheriting(&out)?)?;
    let inside = tree.items.iter().filter(|item| is_inside(item, diskless));
    match difference(inside, &listing.stdout) {
        None => Ok(out),
        Some(path) => Err(Failure::new(format!("`{path}` differs in the squashfs filesystem after writing"))
            .detail("mksquashfs reported success")
            .help("build again; if the error persists, report it with the output of `mksquashfs -version`")),
    }
}

/// An entry as printed by `unsquashfs -lln`: type and permissions, owner and group, size or device numbers, and path
/// with the target of a symbolic link. The size of directories is omitted: it is that of squashfs's index.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ListedNode {
    path: Vec<u8>,
    mode: String,
    owners: String,
    size: String,
}

/// Returns the first path that is missing on one side or differs.
fn difference<'i>(items: impl Iterator<Item = &'i Item>, listing: &[u8]) -> Option<String> {
    let items: Vec<&Item> = items.collect();
    let found = parse(listing);
    let by_name: BTreeMap<&[u8], &Item> = items.iter().map(|item| (name(item), *item)).collect();
    // A hard link is listed like the file.
    let expected: BTreeSet<ListedNode> = items
        .iter()
        .filter(|item| !name(item).is_empty())
        .filter_map(|item| {
            let of = match item.kind {
                EntryType::Link => by_name.get(trimmed(&item.target))?,
                _ => item,
            };
            Some(line(item, of))
        })
        .collect();
    let other = expected.symmetric_difference(&found).next()?;
    Some(String::from_utf8_lossy(&other.path).into_owned())
}

/// Removes a leading `./`, which some archives contain, and the trailing slash of a directory.
fn trimmed(name: &[u8]) -> &[u8] {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    name.strip_suffix(b"/").unwrap_or(name)
}

fn name(item: &Item) -> &[u8] {
    match trimmed(&item.name) {
        b"." => b"",
        name => name,
    }
}

/// Returns the expected line of `item`. `of` is the item with the attributes, which differs for hard links.
fn line(item: &Item, of: &Item) -> ListedNode {
    let kind = match of.kind {
        EntryType::Directory => 'd',
        EntryType::Symlink => 'l',
        EntryType::Char => 'c',
        EntryType::Block => 'b',
        EntryType::Fifo => 'p',
        _ => '-',
    };
    let mut path = [b"/", name(item)].concat();
    let size = match kind {
        'l' => {
            path.extend_from_slice(&[b" -> ", &of.target[..]].concat());
            of.target.len().to_string()
        }
        'c' | 'b' => format!("{},{}", of.device.0, of.device.1),
        'd' => String::new(),
        _ => (of.data.end - of.data.start).to_string(),
    };
    // Symbolic links have no permissions.
    let mode = if kind == 'l' { 0o777 } else { of.mode };
    ListedNode {
        path,
        mode: format!("{kind}{}", permissions(mode)),
        owners: format!("{}/{}", of.owner, of.group),
        size,
    }
}

/// Formats permissions like ls(1).
fn permissions(mode: u32) -> String {
    let bits = |shift: u32, special: u32, both: char, alone: char| {
        let bits = mode >> shift;
        let execute = match (mode & special != 0, bits & 1 != 0) {
            (true, true) => both,
            (true, false) => alone,
            (false, true) => 'x',
            (false, false) => '-',
        };
        [if bits & 4 != 0 { 'r' } else { '-' }, if bits & 2 != 0 { 'w' } else { '-' }, execute]
    };
    let parts = [bits(6, 0o4000, 's', 'S'), bits(3, 0o2000, 's', 'S'), bits(0, 0o1000, 't', 'T')];
    parts.iter().flatten().collect()
}

/// Parses a listing. Names may contain newlines, so other lines continue the name of the previous entry.
fn parse(listing: &[u8]) -> BTreeSet<ListedNode> {
    let mut lines: Vec<ListedNode> = Vec::new();
    for text in listing.split(|byte| *byte == b'\n') {
        match entry(text) {
            Some(line) => lines.push(line),
            None => {
                if let Some(last) = lines.last_mut() {
                    last.path.push(b'\n');
                    last.path.extend_from_slice(text);
                }
            }
        }
    }
    // The newline of the last line is not part of the name.
    if let Some(last) = lines.last_mut().filter(|line| line.path.ends_with(b"\n")) {
        last.path.pop();
    }
    lines.into_iter().filter(|line| !line.path.is_empty()).collect()
}

/// Parses `-rw-r--r-- 0/0     1234 2026-11-30 03:59 squashfs-root/etc/fstab`
fn entry(text: &[u8]) -> Option<ListedNode> {
    let separator = format!(" {ROOT}");
    let at = text.windows(separator.len()).position(|window| window == separator.as_bytes())?;
    let head = std::str::from_utf8(&text[..at]).ok()?;
    let fields: Vec<&str> = head.split_whitespace().collect();
    let [mode, owners, size @ .., _day, _time] = fields.as_slice() else { return None };
    let is_mode = mode.len() == 10 && mode.chars().all(|c| "dlcbps-rwxsStT".contains(c));
    let is_owners = owners.split('/').count() == 2 && owners.chars().all(|c| c.is_ascii_digit() || c == '/');
    if !is_mode || !is_owners || size.is_empty() {
        return None;
    }
    let size = if mode.starts_with('d') { String::new() } else { size.concat() };
    let path = text[at + separator.len()..].to_vec();
    Some(ListedNode { path, mode: (*mode).to_owned(), owners: (*owners).to_owned(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, kind: EntryType, mode: u32, size: u64) -> Item {
        Item {
            path: format!("/{name}"),
            name: format!("./{name}").into_bytes(),
            kind,
            mode,
            owner: 0,
            group: 5,
            time: 0,
            device: (1, 3),
            target: Vec::new(),
            data: 0..size,
            attributes: Vec::new(),
            span: 0..0,
        }
    }

    const LISTING: &str = "\
drwxr-xr-x 0/5                      68 2026-11-30 03:59 squashfs-root
drwxrwxrwt 0/5                      26 2026-11-30 03:59 squashfs-root/d
-rwsr-xr-x 0/5                     512 2026-11-30 03:59 squashfs-root/d/a b
-rwsr-xr-x 0/5                     512 2026-11-30 03:59 squashfs-root/d/link
prw-r--r-- 0/5                       0 2026-11-30 03:59 squashfs-root/ff
lrwxrwxrwx 0/5                       4 2026-11-30 03:59 squashfs-root/lnk -> ../x
-rw-r--r-- 0/5                       0 2026-11-30 03:59 squashfs-root/n
l
crw-r--r-- 0/5                   1,  3 2026-11-30 03:59 squashfs-root/null
";

    fn items() -> Vec<Item> {
        let mut link = item("d/link", EntryType::Link, 0, 0);
        link.target = b"./d/a b".to_vec();
        let mut symbolic = item("lnk", EntryType::Symlink, 0o777, 0);
        symbolic.target = b"../x".to_vec();
        vec![
            item("", EntryType::Directory, 0o755, 0),
            item("d/", EntryType::Directory, 0o1777, 0),
            item("d/a b", EntryType::Regular, 0o4755, 512),
            link,
            item("ff", EntryType::Fifo, 0o644, 0),
            symbolic,
            item("n\nl", EntryType::Regular, 0o644, 0),
            item("null", EntryType::Char, 0o644, 0),
        ]
    }

    #[test]
    fn listing_is_compared_with_the_tree() {
        assert_eq!(difference(items().iter(), LISTING.as_bytes()), None);
        for (from, to, path) in [
            ("-rw-r--r-- 0/5                       0 2026-11-30 03:59 squashfs-root/n\nl\n", "", "/n\nl"),
            ("-rwsr-xr-x 0/5                     512", "-rwsr-xr-x 0/5                     511", "/d/a b"),
            ("drwxrwxrwt", "drwxrwxrwx", "/d"),
            ("../x", "../y", "/lnk -> ../x"),
            ("1,  3", "1,  5", "/null"),
            ("prw-r--r-- 0/5", "prw-r--r-- 5/0", "/ff"),
        ] {
            let changed = LISTING.replacen(from, to, 1);
            assert_eq!(difference(items().iter(), changed.as_bytes()).as_deref(), Some(path));
        }
        // An additional entry is a difference too.
        let more = format!("{LISTING}-rw-r--r-- 0/0   1 2026-11-30 03:59 squashfs-root/zz\n");
        assert_eq!(difference(items().iter(), more.as_bytes()).as_deref(), Some("/zz"));
    }
}
