//! Reads back filesystems that mke2fs made, and checks them with e2fsck and debugfs.

mod forecast;

use super::attributes::attributes;
use super::group::head;
use super::inode::Inode;
use super::mapping::Budget;
use super::{Ext, NormalizeError, normalize};
use crate::disk::scan::scan;
use crate::disk::source::{ReadError, Source, Window};
use crate::disk::tree::{Body, Content, NodeId, ROOT, Time, Tree};
use crate::disk::{first_difference, judge};
use crate::plan::capacity::ext::{Capacity, ExtKind, ExtRequest};
use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const OFFSET: u64 = 1 << 20;
const SIZE: u64 = 24 << 20;
const EPOCH: i64 = 1_600_000_000;
const UUID: &str = "11111111-2222-3333-4444-555555555555";

/// The configuration that builds use for mke2fs.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/disk/ext/mke2fs.conf");

fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    judge(program)
        .env("MKE2FS_CONFIG", CONFIG)
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// Creates files of every type that needs no privileges, optionally in reverse order.
fn make_tree(root: &Path, is_reversed: bool) {
    let mut files: Vec<(String, Vec<u8>)> = (0..300_u32)
        .map(|index| {
            (
                format!("many/file-{index:03}-{}", "x".repeat(index as usize % 50)),
                index.to_le_bytes().to_vec(),
            )
        })
        .collect();
    files.push(("empty".to_owned(), Vec::new()));
    files.push(("tiny".to_owned(), b"tiny".to_vec()));
    files.push(("small".to_owned(), vec![b's'; 120]));
    files.push(("large".to_owned(), (0..600_000_u32).map(|index| (index / 7) as u8).collect()));
    let mut holes = vec![0; 3 << 20];
    holes[1 << 20..(1 << 20) + 5000].fill(b'd');
    holes[(3 << 20) - 1] = b'e';
    files.push(("holes".to_owned(), holes));
    if is_reversed {
        files.reverse();
    }
    for directory in ["many", "deep/er/and/deeper"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    for (name, content) in &files {
        fs::write(root.join(name), content).unwrap();
    }
    fs::set_permissions(root.join("tiny"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::hard_link(root.join("tiny"), root.join("many/again")).unwrap();
    for length in [1, 59, 60, 61, 200] {
        symlink("t".repeat(length), root.join(format!("link-{length}"))).unwrap();
    }
    set_times(root, &mut 0);
}

/// Sets a different timestamp for every file, before and after [`EPOCH`].
fn set_times(path: &Path, count: &mut u64) {
    if path.is_symlink() {
        return;
    }
    if path.is_dir() {
        let mut names: Vec<PathBuf> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names.iter().for_each(|path| set_times(path, count));
    }
    *count += 1;
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH as u64 - 150 + *count);
    let times =
        FileTimes::new().set_modified(modified).set_accessed(SystemTime::now() - Duration::from_secs(*count));
    File::open(path).unwrap().set_times(times).unwrap();
}

/// Makes a filesystem from a directory, at [`OFFSET`] of a new file.
fn make(root: &Path, image: &Path, words: &str, now: &str) -> File {
    let extended = format!("offset={OFFSET},hash_seed={UUID},root_owner=0:0,assume_storage_prezeroed=1");
    let size = format!("{}k", SIZE / 1024);
    let (root, path) = (root.to_str().unwrap(), image.to_str().unwrap());
    File::create(image).unwrap().set_len(OFFSET + SIZE).unwrap();
    let mut arguments: Vec<&str> =
        vec!["-q", "-F", "-U", UUID, "-L", "some label", "-E", &extended, "-d", root];
    arguments.extend(words.split_whitespace());
    arguments.extend([path, &size]);
    let made = run("mke2fs", &arguments, &[("E2FSPROGS_FAKE_TIME", now)]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    File::options().read(true).write(true).open(image).unwrap()
}

/// Asserts that e2fsck reports no errors.
fn check_fsck(bytes: &[u8], directory: &Path) {
    let path = directory.join("checked");
    fs::write(&path, bytes).unwrap();
    let found = run("e2fsck", &["-fn", path.to_str().unwrap()], &[]);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stdout));
}

fn bytes_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; SIZE as usize];
    file.read_exact_at(&mut bytes, OFFSET).unwrap();
    bytes
}

/// A tree as text by path: contents instead of locations, without details that may differ between two filesystems.
fn listing(tree: &Tree, read: impl Fn(NodeId, u64, u64, &mut [u8])) -> BTreeMap<String, String> {
    let mut listing = BTreeMap::new();
    let mut waiting = vec![(String::new(), ROOT)];
    while let Some((path, id)) = waiting.pop() {
        let node = &tree.nodes[id];
        let content = match &node.body {
            Body::Directory(children) => {
                for (name, child) in children.iter().filter(|(name, _)| *name != b"lost+found") {
                    waiting.push((format!("{path}/{}", String::from_utf8_lossy(name)), *child));
                }
                "directory".to_owned()
            }
            Body::File(Content::Extents(extents)) => {
                let mut bytes = vec![0; node.size as usize];
                for extent in extents {
                    let at = extent.at as usize;
                    read(id, extent.at, extent.from, &mut bytes[at..at + extent.length as usize]);
                }
                format!("{:x}", crc32c::crc32c(&bytes))
            }
            Body::File(Content::Inline(bytes)) => format!("{:x}", crc32c::crc32c(bytes)),
            other => format!("{other:?}"),
        };
        // The root is made by mke2fs and has one more subdirectory, lost+found.
        let is_root = path.is_empty();
        let times = [node.accessed, node.modified, node.changed].map(|time| time.seconds);
        let times = if is_root { [0; 3] } else { times };
        let links = if is_root { 0 } else { node.links };
        let mode = if is_root { 0 } else { node.mode };
        listing.insert(
            path,
            format!("{mode:o} {links} {} {times:?} {:?} {content}", node.size, node.attributes),
        );
    }
    listing
}

fn told_of_image(bytes: &[u8]) -> BTreeMap<String, String> {
    let tree = Ext::open(&bytes).unwrap().tree().unwrap();
    listing(&tree, |_, _, from, part| bytes.read_at(part, from).unwrap())
}

#[test]
fn trees_are_read_back_as_scanned() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    make_tree(&root, false);
    let scan = scan(&root, EPOCH).unwrap();
    let read = |id: NodeId, at: u64, _: u64, part: &mut [u8]| {
        File::open(&scan.paths[id]).unwrap().read_exact_at(part, at).unwrap();
    };
    let expect = listing(&scan.tree, read);
    for words in [
        "-t ext4",
        "-t ext3",
        "-t ext2 -b 1024",
        "-t ext4 -O inline_data",
        "-t ext4 -I 128 -b 2048",
        "-t ext4 -I 1024 -b 8192",
    ] {
        let image = make(&root, &directory.path().join("image"), words, "1700000000");
        normalize(&image, OFFSET, SIZE, EPOCH).unwrap();
        let bytes = bytes_of(&image);
        check_fsck(&bytes, directory.path());
        for (path, found) in told_of_image(&bytes) {
            assert_eq!(found, expect[&path], "{words}: {path}");
        }
        let source = bytes.as_slice();
        let ext = Ext::open(&source).unwrap();
        let tree = ext.tree().unwrap();
        assert_eq!(tree.nodes.len(), scan.tree.nodes.len() + 1, "{words}");
        let latest = Time { seconds: EPOCH, nanoseconds: 0 };
        assert!(
            tree.nodes
                .iter()
                .all(|node| node.created.is_none_or(|time| time == node.modified && time <= latest))
        );
        assert_eq!(
            (ext.label().as_str(), ext.uuid().to_string().as_str(), ext.is_clean()),
            ("some label", UUID, true)
        );
    }
}

#[test]
fn clock_creation_order_and_access_do_not_matter() {
    let directory = TempDir::new().unwrap();
    for words in ["-t ext4", "-t ext3", "-t ext2", "-t ext4 -O inline_data,^metadata_csum"] {
        let mut images = Vec::new();
        for (name, now) in [("one", "1700000000"), ("other", "1711111111")] {
            let root = directory.path().join(name);
            if !root.exists() {
                fs::create_dir(&root).unwrap();
                make_tree(&root, name == "other");
            }
            let image = make(&root, &directory.path().join(format!("{name}.img")), words, now);
            normalize(&image, OFFSET, SIZE, EPOCH).unwrap();
            images.push(bytes_of(&image));
        }
        let differs = first_difference(&images[0], &images[1]);
        let source = images[0].as_slice();
        let ext = Ext::open(&source).unwrap();
        assert_eq!(differs.map(|at| ext.describe(at as u64)), None, "{words}");
    }
}

#[test]
fn normalizing_twice_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    make_tree(&root, false);
    let image = make(&root, &directory.path().join("image"), "-t ext4", "1700000000");
    normalize(&image, OFFSET, SIZE, EPOCH).unwrap();
    let once = bytes_of(&image);
    normalize(&image, OFFSET, SIZE, EPOCH).unwrap();
    assert!(bytes_of(&image) == once);
    // Bytes before the filesystem are not modified.
    let mut before = vec![0; OFFSET as usize];
    image.read_exact_at(&mut before, 0).unwrap();
    assert!(before.iter().all(|byte| *byte == 0));
}

#[test]
fn bytes_in_use_are_sufficient() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    make_tree(&root, false);
    for words in ["-t ext4 -g 1024", "-t ext2 -b 1024"] {
        let image = make(&root, &directory.path().join("image"), words, "1600000000");
        let bytes = bytes_of(&image);
        let used = Ext::open(&bytes.as_slice()).unwrap().in_use().unwrap();
        assert!(used.windows(2).all(|pair| pair[0].end < pair[1].start));
        // All other bytes are irrelevant: replace them.
        let mut other = vec![0xa5; bytes.len()];
        for range in used {
            let range = range.start as usize..range.end as usize;
            other[range.clone()].copy_from_slice(&bytes[range]);
        }
        check_fsck(&other, directory.path());
        assert_eq!(told_of_image(&other), told_of_image(&bytes), "{words}");
    }
}

#[test]
fn results_match_debugfs() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    make_tree(&root, false);
    let image = make(&root, &directory.path().join("image"), "-t ext4", "1600000000");
    let bytes = bytes_of(&image);
    let path = directory.path().join("checked");
    fs::write(&path, &bytes).unwrap();
    let debugfs = |request: &str| run("debugfs", &["-R", request, path.to_str().unwrap()], &[]);
    let source = bytes.as_slice();
    let ext = Ext::open(&source).unwrap();
    let tree = ext.tree().unwrap();
    let Body::Directory(names) = &tree.nodes[ROOT].body else { panic!("the root is a directory") };
    for name in ["large", "holes"] {
        let node = &tree.nodes[names[name.as_bytes()]];
        let content = debugfs(&format!("cat /{name}"));
        assert_eq!(content.stdout, fs::read(root.join(name)).unwrap());
        let last = (node.size - 1) / ext.superblock.block_size;
        let block = String::from_utf8(debugfs(&format!("bmap /{name} {last}")).stdout).unwrap();
        let place = block.trim().parse::<u64>().unwrap() * ext.superblock.block_size;
        assert_eq!(ext.describe(place), format!("data of /{name}"));
        let stat = String::from_utf8(debugfs(&format!("stat /{name}")).stdout).unwrap();
        assert!(stat.starts_with(&format!("Inode: {} ", node.number)), "{stat}");
    }
}

#[test]
fn bytes_are_described() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    make_tree(&root, false);
    let image = make(&root, &directory.path().join("image"), "-t ext4 -b 4096", "1600000000");
    let bytes = bytes_of(&image);
    let source = bytes.as_slice();
    let ext = Ext::open(&source).unwrap();
    let check = |at: u64, expect: &str| assert_eq!(ext.describe(at), expect);
    check(0, "boot block");
    check(1024 + 0x108, "superblock, field s_mkfs_time");
    check(4096 + 0x1e, "group 0: descriptor of group 0, field bg_checksum");
    check(8192, "group 0: reserved for more group descriptors");
    check(ext.groups[0].block_bitmap * 4096, "group 0: block bitmap");
    check(ext.groups[0].inode_bitmap * 4096 + 4095, "group 0: inode bitmap");
    check(ext.inode_place(2).unwrap() + 0xc, "group 0: inode table, inode 2 (/), field i_ctime");
    check(ext.inode_place(8).unwrap() + 0x84, "group 0: inode table, inode 8 (journal), field i_ctime_extra");
    check(SIZE - 1, "free space");
    check(SIZE, "after the filesystem's end");
    let found: Vec<String> = (0..SIZE / 4096).map(|block| ext.describe(block * 4096)).collect();
    for part in [
        "journal",
        "directory /many",
        "directory /deep/er",
        "directory /lost+found",
        "data of /link-200",
        "data of /large",
    ] {
        assert!(found.iter().any(|found| found == part), "{part}");
    }
    assert!(!found.iter().any(|found| found.contains("not referenced")));
}

/// A deterministic generator of small pseudorandom numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn damage_does_not_panic() {
    const ROUNDS: u32 = 700;
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    make_tree(&root, false);
    for words in ["-t ext4", "-t ext2 -b 1024", "-t ext4 -O inline_data -b 1024"] {
        let image = make(&root, &directory.path().join("image"), words, "1600000000");
        let sound = bytes_of(&image);
        let used = Ext::open(&sound.as_slice()).unwrap().in_use().unwrap();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut bytes = sound.clone();
        for round in 0..ROUNDS {
            let mut changed = Vec::new();
            for _ in 0..=random.below(8) {
                let range = &used[random.below(used.len() as u64) as usize];
                // Most metadata is at the start of the used bytes; every third round damages the superblock.
                let at = if round % 3 == 0 {
                    1024 + random.below(1024)
                } else {
                    range.start + random.below(range.end - range.start)
                };
                changed.push(at as usize);
                bytes[at as usize] = random.below(256) as u8;
            }
            let source = bytes.as_slice();
            if let Ok(ext) = Ext::open(&source) {
                let _ = (ext.tree(), ext.in_use(), ext.label(), ext.free_bytes());
                let _ = (ext.describe(random.below(SIZE)), ext.describe(u64::MAX));
            }
            if round % 50 == 0 {
                image.write_all_at(&bytes, OFFSET).unwrap();
                let _ = normalize(&image, OFFSET, SIZE, EPOCH);
            }
            for at in changed {
                bytes[at] = sound[at];
            }
        }
    }
}

#[test]
fn contradictions_are_reported_precisely() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    make_tree(&root, false);
    let image = make(&root, &directory.path().join("image"), "-t ext4 -b 8192", "1600000000");
    let sound = bytes_of(&image);
    let with = |at: u64, bytes: &[u8]| {
        let mut changed = sound.clone();
        changed[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let open_error = |bytes: &[u8]| Ext::open(&bytes).map(|_| ()).unwrap_err().to_string();
    // s_inodes_count, s_blocks_per_group
    assert!(open_error(&with(1024, &[1, 2, 3, 4])).contains("inodes, expected"));
    assert!(open_error(&with(1024 + 0x20, &[0; 4])).contains("blocks per group"));
    // s_mmp_block, s_mmp_block_high, and the feature that enables them.
    let mut protected = with(1024 + 0x168, &[0xff; 8]);
    protected[1024 + 0x61] |= 1;
    assert_eq!(Ext::open(&protected.as_slice()).unwrap().describe(SIZE - 1), "free space");
    let source = sound.as_slice();
    let ext = Ext::open(&source).unwrap();
    let Err(ReadError::Damaged { at, .. }) = ext.inode(u32::MAX) else { panic!("the inode does not exist") };
    assert_eq!(at, 1024);
    // A link with a target longer than any path; blocks are larger.
    let tree = ext.tree().unwrap();
    let link = &tree.nodes[tree.find_nofollow("/link-200").unwrap()];
    let place = ext.inode_place(link.number as u32).unwrap();
    let long = with(place + 4, &5000_u32.to_le_bytes());
    let error = Ext::open(&long.as_slice()).unwrap().tree().unwrap_err();
    assert!(error.to_string().contains("target of 5000 bytes"), "{error}");
    // Two attributes in one inode, each of which claims the whole area for values.
    let mut bytes = vec![0; 256];
    bytes[0x80] = 32;
    bytes[160..164].copy_from_slice(&0xea02_0000_u32.to_le_bytes());
    for (place, name) in [(164, b'a'), (184, b'b')] {
        (bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 8]) = (1, 1, 44, 48);
        bytes[place + 16] = name;
    }
    let read = |bytes: &[u8]| {
        let inode = Inode { number: 12, at: 0, bytes: bytes.to_vec() };
        attributes(&ext, &inode, &mut Budget::of(&ext)).map(|found| found.named.len())
    };
    assert!(read(&bytes).is_err());
    bytes[164 + 8] = 4;
    bytes[184 + 8] = 40;
    assert_eq!(read(&bytes).unwrap(), 2);
}

#[test]
fn host_labels_are_removed() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    make_tree(&root, false);
    let path = directory.path().join("image");
    for words in ["-t ext4", "-t ext4 -O ^metadata_csum"] {
        let image = make(&root, &path, words, "1600000000");
        // As `mke2fs -d` copies it from a host with SELinux.
        let place = format!("{}?offset={OFFSET}", path.display());
        for request in
            ["/tiny security.selinux label", "/small security.selinux label", "/small user.kept yes"]
        {
            let set = format!("ea_set {request}");
            run("debugfs", &["-w", "-R", &set, &place], &[]);
        }
        assert_eq!(attribute_names(&image, "/tiny"), [b"security.selinux"]);
        normalize(&image, OFFSET, SIZE, EPOCH).unwrap();
        check_fsck(&bytes_of(&image), directory.path());
        assert_eq!(attribute_names(&image, "/tiny"), [b""; 0]);
        assert_eq!(attribute_names(&image, "/small"), [b"user.kept"]);
    }
}

fn attribute_names(image: &File, path: &str) -> Vec<Vec<u8>> {
    let bytes = bytes_of(image);
    let tree = Ext::open(&bytes.as_slice()).unwrap().tree().unwrap();
    tree.nodes[tree.find(path).unwrap()].attributes.keys().cloned().collect()
}

#[test]
fn only_superblock_copies_are_normalized() {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    let image = make(&root, &directory.path().join("image"), "-t ext4 -g 1024", "1600000000");
    let bytes = bytes_of(&image);
    let superblock = Ext::open(&bytes.as_slice()).unwrap().superblock;
    let copy = OFFSET + head(&superblock, 1).superblock.start * superblock.block_size;
    image.write_all_at(&[0xee; 1024], copy).unwrap();
    assert!(matches!(normalize(&image, OFFSET, SIZE, EPOCH), Err(NormalizeError::Read(_))));
    let mut left = [0; 1024];
    image.read_exact_at(&mut left, copy).unwrap();
    assert_eq!(left, [0xee; 1024]);
}
