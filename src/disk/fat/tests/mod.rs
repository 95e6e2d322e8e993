//! Reads back filesystems that mkfs.vfat and mtools made, and checks them with fsck.fat.

mod written;

use super::Fat;
use crate::disk::judge;
use crate::disk::tree::{Body, Content, NodeId, ROOT, Tree};
use crate::plan::capacity::fat::FatRequest;
use std::fs::{self, File};
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

fn run(program: &str, arguments: &[&str]) -> Output {
    judge(program).args(arguments).env("TZ", "UTC").env("LC_ALL", "C.UTF-8").output().unwrap()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("EFI/BOOT/BOOTX64.EFI", (0..300_000_u32).map(|index| (index / 3) as u8).collect()),
        ("EFI/BOOT/grubx64.efi", b"lower".to_vec()),
        ("loader/entries/a-rather-long-name-2024-01-01.conf", b"title x\n".to_vec()),
        ("loader/ÄÖÜ 日本語 €.txt", b"not ascii\n".to_vec()),
        ("empty", Vec::new()),
        ("Mixed.Case", vec![b'm'; 70_000]),
    ]
}

/// A filesystem with [`files`], as bytes.
fn make(directory: &Path, size: u64, options: &str) -> Vec<u8> {
    let image = directory.join("image");
    File::create(&image).unwrap().set_len(size).unwrap();
    let path = image.to_str().unwrap();
    let mut arguments: Vec<&str> = options.split_whitespace().collect();
    arguments.extend(["-n", "LABEL", "-i", "ABCD1234", path]);
    let made = run("mkfs.vfat", &arguments);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let root = directory.join("root");
    for (name, content) in files() {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut arguments = vec!["-s", "-m", "-i", path];
    arguments.extend(names.iter().map(|path| path.to_str().unwrap()));
    arguments.push("::/");
    let copied = run("mcopy", &arguments);
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let judged = run("fsck.fat", &["-n", path]);
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
    fs::read(&image).unwrap()
}

fn find(tree: &Tree, path: &str) -> NodeId {
    path.split('/').fold(ROOT, |id, name| match &tree.nodes[id].body {
        Body::Directory(children) => {
            *children.get(name.as_bytes()).unwrap_or_else(|| panic!("{path}: {children:?}"))
        }
        _ => panic!("{path}"),
    })
}

const SHAPES: &[(u64, &str)] = &[
    (2 << 20, "-F 12"),
    (20 << 20, "-F 16 -s 2"),
    (40 << 20, "-F 32 -s 1"),
    (300 << 20, "-F 32 -S 4096 -s 1"),
    (8 << 20, ""),
];

#[test]
fn copied_files_are_read_back() {
    let directory = TempDir::new().unwrap();
    for (size, options) in SHAPES {
        let bytes = make(directory.path(), *size, options);
        let source = bytes.as_slice();
        let fat = Fat::open(&source).unwrap();
        assert_eq!((fat.label().as_str(), fat.uuid().as_str(), fat.is_clean()), ("LABEL", "ABCD-1234", true));
        let tree = fat.tree().unwrap();
        for (name, content) in files() {
            let node = &tree.nodes[find(&tree, name)];
            let Body::File(Content::Extents(extents)) = &node.body else { panic!("{name}") };
            let read: Vec<u8> = extents
                .iter()
                .flat_map(|extent| {
                    bytes[extent.from as usize..(extent.from + extent.length) as usize].to_vec()
                })
                .collect();
            assert_eq!(read, content, "{options}: {name}");
            let metadata = fs::metadata(directory.path().join("root").join(name)).unwrap();
            let seconds = std::os::unix::fs::MetadataExt::mtime(&metadata);
            assert!((node.modified.seconds - seconds).abs() <= 1, "{options}: {name}");
            if let Some(extent) = extents.first() {
                assert_eq!(fat.describe(extent.from), format!("data of /{name}"));
            }
        }
        assert_eq!(tree.nodes[ROOT].links, 4);
        let free = FatRequest { size: *size, options }.forecast().unwrap();
        assert_eq!(free.cluster_size, fat.boot.cluster_size);
        assert!(free.free_clusters * free.cluster_size > fat.free_bytes());
    }
}

#[test]
fn bytes_in_use_are_sufficient() {
    let directory = TempDir::new().unwrap();
    for (size, options) in SHAPES {
        let bytes = make(directory.path(), *size, options);
        let fat_tree = Fat::open(&bytes.as_slice()).unwrap().tree().unwrap();
        let mut other = vec![0xa5; bytes.len()];
        for range in Fat::open(&bytes.as_slice()).unwrap().in_use().unwrap() {
            let range = range.start as usize..range.end as usize;
            other[range.clone()].copy_from_slice(&bytes[range]);
        }
        assert_eq!(Fat::open(&other.as_slice()).unwrap().tree().unwrap(), fat_tree);
        let path = directory.path().join("other");
        fs::write(&path, &other).unwrap();
        let judged = run("fsck.fat", &["-n", path.to_str().unwrap()]);
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
    }
}

#[test]
fn bytes_are_described() {
    let directory = TempDir::new().unwrap();
    let bytes = make(directory.path(), 40 << 20, "-F 32 -s 1");
    let source = bytes.as_slice();
    let fat = Fat::open(&source).unwrap();
    let check = |at: u64, expect: &str| assert_eq!(fat.describe(at), expect);
    check(70, "boot sector, volume ID");
    check(512, "info sector");
    check(6 * 512 + 510, "copy of the boot sector, signature");
    check(fat.boot.tables[0].start + 8, "table 1, entry 2");
    check(fat.boot.tables[1].start + 8, "table 2, entry 2");
    check(fat.boot.clusters_start, "directory /");
    check(fat.boot.end() - 1, "free space");
}

#[test]
fn damage_does_not_panic() {
    const ROUNDS: u32 = 700;
    let directory = TempDir::new().unwrap();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |end: u64| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        chance % end
    };
    for (size, options) in &SHAPES[..3] {
        let sound = make(directory.path(), *size, options);
        let used = Fat::open(&sound.as_slice()).unwrap().in_use().unwrap();
        let mut bytes = sound.clone();
        for round in 0..ROUNDS {
            let mut changed = Vec::new();
            for _ in 0..=below(8) {
                let range = &used[below(used.len() as u64) as usize];
                let end = if round % 3 == 0 { 512 } else { range.end };
                let at = range.start.min(end - 1) + below(end - range.start.min(end - 1));
                changed.push(at as usize);
                bytes[at as usize] = below(256) as u8;
            }
            let source = bytes.as_slice();
            if let Ok(fat) = Fat::open(&source) {
                let _ = (fat.tree(), fat.in_use(), fat.free_bytes());
                let _ = (fat.describe(below(*size)), fat.describe(u64::MAX));
            }
            for at in changed {
                bytes[at] = sound[at];
            }
        }
    }
}

#[test]
fn predicted_sizes_match_mkfs() {
    const MIB: u64 = 1 << 20;
    let directory = TempDir::new().unwrap();
    for mib in [1, 3, 5, 16, 33, 100, 255, 260, 300, 511, 512, 600, 2048] {
        for options in ["", "-F 32", "-F 16", "-F 12", "-S 4096", "-s 4 -f 1", "-R 100 -r 1000", "-F 32 -a"] {
            let size = mib * MIB + 1536;
            let image = directory.path().join("image");
            let _ = fs::remove_file(&image);
            let file = File::options().create_new(true).read(true).write(true).open(&image).unwrap();
            file.set_len(size).unwrap();
            let mut arguments: Vec<&str> = options.split_whitespace().collect();
            arguments.push(image.to_str().unwrap());
            let made = run("mkfs.vfat", &arguments);
            let forecast = FatRequest { size, options }.forecast();
            if !made.status.success() {
                assert_eq!(forecast, None, "{mib} {options}");
                continue;
            }
            let forecast = forecast.unwrap_or_else(|| panic!("{mib} {options}"));
            let window = crate::disk::source::Window { file: &file, offset: 0, size };
            let fat = Fat::open(&window).unwrap();
            let found = (fat.boot.cluster_size, fat.free_bytes());
            assert_eq!(
                (forecast.cluster_size, forecast.free_clusters * forecast.cluster_size),
                found,
                "{mib} {options}"
            );
        }
    }
}
