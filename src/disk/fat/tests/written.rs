//! Fills filesystems that mkfs.vfat made, checks them with fsck.fat, and reads them with mtools.

use super::{SHAPES, run};
use crate::disk::fat::{Fat, WriteError, fill, first_unsupported};
use crate::disk::scan::{Scan, scan};
use crate::disk::source::Window;
use crate::disk::tree::{Body, Content, NodeId, ROOT, Tree};
use crate::disk::{Stores, compare, content_difference};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;

const EPOCH: i64 = 1_700_000_001;

/// Paths with file contents; `None` is a directory.
type Files = BTreeMap<String, Option<Vec<u8>>>;

fn empty(directory: &Path, size: u64, options: &str) -> File {
    let path = directory.join("image");
    let _ = fs::remove_file(&path);
    let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
    file.set_len(size).unwrap();
    let mut arguments: Vec<&str> = options.split_whitespace().collect();
    arguments.extend(["--invariant", "-n", "LABEL", path.to_str().unwrap()]);
    let made = run("mkfs.vfat", &arguments);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    file
}

fn scanned(files: &Files) -> (TempDir, Scan) {
    let directory = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = directory.path().join(path);
        match content {
            Some(bytes) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            None => fs::create_dir_all(path).unwrap(),
        }
    }
    let scan = scan(directory.path(), EPOCH).unwrap();
    (directory, scan)
}

fn put(image: &File, files: &Files, is_blank: bool) -> Result<(), WriteError> {
    let (_directory, scan) = scanned(files);
    let window = Window { file: image, offset: 0, size: image.metadata().unwrap().len() };
    fill(&window, &scan, is_blank)
}

fn read_back(image: &File) -> Files {
    let window = Window { file: image, offset: 0, size: image.metadata().unwrap().len() };
    let tree = Fat::open(&window).unwrap().tree().unwrap();
    let mut files = Files::new();
    collect(image, &tree, ROOT, "", &mut files);
    files
}

fn collect(image: &File, tree: &Tree, id: NodeId, path: &str, files: &mut Files) {
    let Body::Directory(children) = &tree.nodes[id].body else { panic!("{path}") };
    for (name, child) in children {
        let path = format!("{path}{}", str::from_utf8(name).unwrap());
        match &tree.nodes[*child].body {
            Body::File(Content::Extents(extents)) => {
                let mut bytes = vec![0; tree.nodes[*child].size as usize];
                for extent in extents {
                    let part = &mut bytes[extent.at as usize..][..extent.length as usize];
                    image.read_exact_at(part, extent.from).unwrap();
                }
                files.insert(path, Some(bytes));
            }
            _ => {
                files.insert(path.clone(), None);
                collect(image, tree, *child, &format!("{path}/"), files);
            }
        }
    }
}

/// Adds all parent directories.
fn whole(files: &Files) -> Files {
    let mut whole = files.clone();
    for path in files.keys() {
        for (at, _) in path.match_indices('/') {
            whole.entry(path[..at].to_owned()).or_insert(None);
        }
    }
    whole
}

fn judged(directory: &Path, what: &str) {
    let judged = run("fsck.fat", &["-n", directory.join("image").to_str().unwrap()]);
    let messages = String::from_utf8_lossy(&judged.stdout).into_owned();
    assert!(judged.status.success() && messages.lines().count() == 2, "{what}: {messages}");
}

/// The files as mtools copies them out.
fn by_mtools(directory: &Path) -> Files {
    let out = directory.join("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir(&out).unwrap();
    let image = directory.join("image");
    let arguments = ["-s", "-n", "-Q", "-i", image.to_str().unwrap(), "::*", out.to_str().unwrap()];
    let copied = run("mcopy", &arguments);
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    fn walk(directory: &Path, path: &str, files: &mut Files) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{path}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{path}/"), files);
                files.insert(path, None);
            } else {
                files.insert(path, Some(fs::read(entry.path()).unwrap()));
            }
        }
    }
    let mut files = Files::new();
    walk(&out, "", &mut files);
    files
}

/// Difficult names: similar, in different cases, with characters that short names do not allow, long.
fn name() -> impl Strategy<Value = String> {
    let odd = "[A-Za-z0-9 .+,;=\\[\\]~!#$%&'()@^_`{}äß日-]{0,20}[A-Za-z0-9~_-]";
    prop_oneof![
        3 => odd,
        2 => "[A-Z0-9]{1,8}(\\.[A-Z0-9]{1,3})?",
        2 => "longname-[0-9]{1,2}",
        1 => "x{200,240}",
        1 => "[a-z]\u{1f980}{1,3}",
    ]
}

fn files() -> impl Strategy<Value = Files> {
    let content = prop::option::weighted(
        0.8,
        (0usize..9000, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    );
    let path = prop::collection::vec(name(), 1..4).prop_map(|names| names.join("/"));
    prop::collection::btree_map(path, content, 0..40).prop_map(|files| {
        // A file cannot also be a directory, and a name occurs once.
        let mut kept = Files::new();
        let mut folded: BTreeMap<String, String> = BTreeMap::new();
        for (path, content) in files {
            let steps: Vec<&str> = path.split('/').collect();
            let prefixes: Vec<String> = (1..=steps.len()).map(|count| steps[..count].join("/")).collect();
            let is_free = prefixes.iter().all(|prefix| {
                let known = folded.get(&super::super::new_name::folded(prefix));
                known.is_none_or(|known| known == prefix)
                    && kept.get(prefix).is_none_or(|there| there.is_none())
            });
            if is_free && !(content.is_some() && folded.contains_key(&super::super::new_name::folded(&path)))
            {
                for prefix in prefixes {
                    folded.insert(super::super::new_name::folded(&prefix), prefix);
                }
                kept.insert(path, content);
            }
        }
        kept
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8) })]

    /// Fills filesystems of every shape, checks them with fsck.fat and mtools, and adds more files.
    #[test]
    fn written_trees_are_read_back(first in files(), second in files()) {
        for (size, options) in SHAPES {
            let directory = TempDir::new().unwrap();
            let image = empty(directory.path(), *size, options);
            put(&image, &first, true).unwrap();
            judged(directory.path(), options);
            prop_assert_eq!(read_back(&image), whole(&first));
            // mcopy reports an empty directory as an error.
            if !first.is_empty() {
                // mcopy does not support surrogate pairs.
                let paths = whole(&first).into_iter();
                let expected: Files =
                    paths.map(|(path, content)| (path.replace('\u{1f980}', "__"), content)).collect();
                prop_assert_eq!(by_mtools(directory.path()), expected);
            }
            // Leave out names that already exist in another case or as another type.
            let there = whole(&first);
            let fold = super::super::new_name::folded;
            let known: BTreeMap<String, &String> = there.keys().map(|path| (fold(path), path)).collect();
            let mut added = second.clone();
            added.retain(|path, content| {
                let mut prefixes = path.match_indices('/').map(|(at, _)| &path[..at]).chain([path.as_str()]);
                prefixes.all(|prefix| known.get(&fold(prefix)).is_none_or(|known| {
                    let is_directory = prefix != path || content.is_none();
                    *known == prefix && there[*known].is_none() == is_directory
                }))
            });
            put(&image, &added, false).unwrap();
            judged(directory.path(), options);
            let mut all = there;
            all.extend(whole(&added));
            prop_assert_eq!(read_back(&image), all);
        }
    }
}

fn one(path: &str, bytes: &[u8]) -> Files {
    Files::from([(path.to_owned(), Some(bytes.to_vec()))])
}

#[test]
fn replaced_files_free_their_clusters() {
    let directory = TempDir::new().unwrap();
    let image = empty(directory.path(), 20 << 20, "-F 16 -s 4");
    for round in 0..20 {
        put(&image, &one("EFI/BOOT/BOOTX64.EFI", &vec![round; 8 << 20]), false).unwrap();
        judged(directory.path(), "replaced");
    }
    // Names that differ only in case are the same name.
    put(&image, &one("EFI/boot/bootx64.efi", b"new"), false).unwrap();
    assert_eq!(read_back(&image)["EFI/BOOT/bootx64.efi"], Some(b"new".to_vec()));
    let failure = put(&image, &one("EFI/boot", b"a file"), false).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "vfat cannot store `/EFI/boot`: a directory with this name already exists"
    );
    let failure = put(&image, &one("EFI/BOOT/bootx64.efi/x", b""), false).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "vfat cannot store `/EFI/BOOT/bootx64.efi`: a file with this name already exists"
    );
    judged(directory.path(), "after rejected writes");
}

#[test]
fn limits_are_checked_before_writing() {
    let directory = TempDir::new().unwrap();
    let image = empty(directory.path(), 2 << 20, "-F 12 -r 32");
    let before = fs::read(directory.path().join("image")).unwrap();
    let failure = put(&image, &one("big", &vec![1; 3 << 20]), true).unwrap_err();
    assert!(
        matches!(failure, WriteError::Full { need, have } if need > 3 << 20 && have < 2 << 20),
        "{failure}"
    );
    let many: Files = (0..40).map(|index| (format!("long name {index}"), Some(Vec::new()))).collect();
    let failure = put(&image, &many, true).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "vfat cannot store `/`: the root directory of this filesystem has at most 32 entries, and a long name takes several"
    );
    assert_eq!(fs::read(directory.path().join("image")).unwrap(), before);
}

/// Ten thousand similar names in a directory that grows over many clusters.
#[test]
fn a_large_directory() {
    let directory = TempDir::new().unwrap();
    let image = empty(directory.path(), 40 << 20, "-F 32 -s 1");
    let files: Files = (0..10_000).map(|index| (format!("d/vmlinuz-{index}"), Some(Vec::new()))).collect();
    put(&image, &files, true).unwrap();
    judged(directory.path(), "large");
    assert_eq!(read_back(&image), whole(&files));
    put(&image, &one("d/another", b"x"), false).unwrap();
    judged(directory.path(), "larger");
    assert_eq!(read_back(&image).len(), 10_002);
}

#[test]
fn unsupported_nodes_are_found_beforehand() {
    let check = |make: &dyn Fn(&Path), expect: Option<(&str, &str)>| {
        let directory = TempDir::new().unwrap();
        make(directory.path());
        let mut scan = scan(directory.path(), EPOCH).unwrap();
        for node in &mut scan.tree.nodes {
            (node.uid, node.gid) = (0, 0);
        }
        let found = first_unsupported(&scan.tree.nodes, 4096, (0, 0));
        let found = found.as_ref().map(|(path, problem)| (path.as_str(), problem.as_str()));
        assert_eq!(found, expect);
    };
    let write = |root: &Path, name: &str| fs::write(root.join(name), b"").unwrap();
    check(&|root| write(root, "Fine.txt"), None);
    check(
        &|root| ["Foo.txt", "foo.txt"].iter().for_each(|name| write(root, name)),
        Some(("/foo.txt", "same name as `Foo.txt`: vfat is not case-sensitive")),
    );
    check(&|root| write(root, "a:b"), Some(("/a:b", "vfat does not allow `:` in names")));
    check(
        &|root| write(root, "a."),
        Some(("/a.", "vfat does not allow a dot or a space at the end of a name")),
    );
    check(
        &|root| std::os::unix::fs::symlink("x", root.join("l")).unwrap(),
        Some(("/l", "vfat does not support symbolic links")),
    );
    let size =
        |bytes: u64| move |root: &Path| File::create(root.join("big")).unwrap().set_len(bytes).unwrap();
    let most = "vfat limits a file to 4 GiB minus one cluster of 4096 bytes, this one has 4294963201";
    check(&size((4 << 30) - 4095), Some(("/big", most)));
    check(&size((4 << 30) - 4096), None);
    check(&|root| (0..2600).for_each(|index| write(root, &format!("{index}{}", "x".repeat(250)))), None);
    check(
        &|root| (0..3200).for_each(|index| write(root, &format!("{index}{}", "x".repeat(250)))),
        Some((
            "/",
            "a directory has at most 65536 entries, a long name takes several, and these names take 67202",
        )),
    );
}

/// A preserved ESP of another system may use other cases in its names. vfat and the comparison treat them as equal.
#[test]
fn directory_names_are_case_insensitive() {
    let directory = TempDir::new().unwrap();
    let image = empty(directory.path(), 20 << 20, "-F 16 -s 4");
    put(&image, &one("EFI/Boot/other.efi", b"theirs"), true).unwrap();
    let (_host, scan) = scanned(&one("EFI/BOOT/BOOTX64.EFI", b"ours"));
    let window = Window { file: &image, offset: 0, size: image.metadata().unwrap().len() };
    fill(&window, &scan, false).unwrap();
    judged(directory.path(), "another case");
    let found = Fat::open(&window).unwrap().tree().unwrap();
    let keeps = Stores { owners: false, case: false, others: true };
    let files = compare(&scan.tree, &found, keeps).unwrap();
    assert_eq!(content_difference(files, &scan.paths, &found, &window).unwrap(), None);
    assert_eq!(read_back(&image)["EFI/Boot/BOOTX64.EFI"], Some(b"ours".to_vec()));
}
