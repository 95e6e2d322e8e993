//! Filled filesystems are valid, contain what they should, and are reproducible.

use super::sample::sample;
use super::{EPOCH, MIB, assert_same, check, filled, open, window};
use crate::disk::bytes::is_zero;
use crate::disk::scan::{Scan, scan};
use std::io::Read;

/// For any options of `mkfs.btrfs`: `btrfs check` reports nothing, the reader returns what was written, and a second
/// filesystem is identical.
fn check_options(options: &str, scan: &Scan) {
    let image = filled(300 * MIB, options, scan);
    let image = image.unwrap();
    check(image.path(), options);
    let window = window(&image);
    assert_same(scan, &open(&window).tree().unwrap(), &window);
    let again = filled(300 * MIB, options, scan).unwrap();
    assert_eq!(bytes(&image), bytes(&again), "{options}");
}

/// The positions and contents of all blocks that are not zero.
fn bytes(image: &tempfile::NamedTempFile) -> Vec<(usize, Vec<u8>)> {
    let mut file = std::fs::File::open(image.path()).unwrap();
    let mut found = Vec::new();
    let mut buffer = vec![0; MIB as usize];
    for index in 0.. {
        match file.read_exact(&mut buffer) {
            Ok(()) if !is_zero(&buffer) => found.push((index, buffer.clone())),
            Ok(()) => {}
            Err(_) => break,
        }
    }
    found
}

#[test]
fn default_options() {
    check_options("", &sample(2000).1);
}

#[test]
fn twenty_thousand_names() {
    check_options("", &sample(20_000).1);
}

#[test]
fn profiles() {
    let (_directory, scan) = sample(500);
    for options in ["-m single", "-m single -d dup", "-d dup", "--mixed", "--mixed -m dup -d dup"] {
        check_options(options, &scan);
    }
}

#[test]
fn features() {
    let (_directory, scan) = sample(500);
    for options in ["-O ^no-holes", "-R ^free-space-tree", "-O ^no-holes --mixed -R ^free-space-tree"] {
        check_options(options, &scan);
    }
}

#[test]
fn sizes_of_nodes_and_sectors() {
    let (_directory, scan) = sample(500);
    for options in ["-n 4096", "-s 4096", "-n 65536", "-s 65536 -n 65536", "-s 16384"] {
        check_options(options, &scan);
    }
}

#[test]
fn checksums() {
    let (_directory, scan) = sample(10);
    for options in ["--csum xxhash", "--csum sha256", "--csum blake2"] {
        check_options(options, &scan);
    }
}

#[test]
fn empty_directory() {
    let directory = tempfile::tempdir().unwrap();
    check_options("", &scan(directory.path(), EPOCH).unwrap());
}

/// Files whose extents are in several chunks, around the superblock at 64 MiB.
#[test]
fn several_chunks() {
    let (_directory, scan) = super::sample::one_file(150 * MIB);
    check_options("-m single", &scan);
    check_options("--mixed", &scan);
}

/// `btrfs restore` is an independent reader.
#[test]
fn results_match_btrfs_restore() {
    let (directory, scan) = sample(100);
    let image = filled(300 * MIB, "", &scan);
    let image = image.unwrap();
    let restored = tempfile::tempdir().unwrap();
    // It prompts before it continues with files that have many extents.
    let script =
        format!("yes | btrfs restore -S '{}' '{}'", image.path().display(), restored.path().display());
    let output = crate::disk::judge("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut diff = crate::disk::judge("diff");
    diff.args(["-r", "--no-dereference"]).args([directory.path(), restored.path()]);
    let output = diff.output().unwrap();
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{messages}");
}

#[test]
fn bytes_in_use_are_described() {
    let (_directory, scan) = sample(100);
    let image = filled(300 * MIB, "", &scan);
    let image = image.unwrap();
    let window = window(&image);
    let btrfs = open(&window);
    let used = btrfs.in_use().unwrap();
    assert!(used.is_sorted_by(|one, next| one.end < next.start));
    assert_eq!(btrfs.describe(65_536 + 300), "superblock, field label");
    assert_eq!(btrfs.describe(64 * MIB), "superblock, field csum");
    let described: std::collections::BTreeSet<String> = used
        .iter()
        .flat_map(|range| (range.start..range.end).step_by(4096))
        .map(|at| btrfs.describe(at))
        .collect();
    for expected in ["data of /sparse", "data of /size3000001", "tree block of the FS tree, leaf"] {
        assert!(described.contains(expected), "{expected} is not in {described:?}");
    }
    assert!(!described.iter().any(|text| text == "free space" || text.contains("unallocated")));
    let after = used.last().unwrap().end;
    assert_eq!(btrfs.describe(after), "free space");
    assert_eq!(btrfs.describe(299 * MIB), "unallocated space");
}

/// All bytes that are not in use read as zeros.
#[test]
fn bytes_of_mkfs_are_removed() {
    use std::os::unix::fs::FileExt;
    let (_directory, scan) = sample(10);
    let image = filled(300 * MIB, "", &scan);
    let image = image.unwrap();
    let window = window(&image);
    let mut at = 0;
    for range in open(&window).in_use().unwrap().into_iter().chain(std::iter::once(300 * MIB..300 * MIB)) {
        let mut gap = vec![0; (range.start - at) as usize];
        image.as_file().read_exact_at(&mut gap, at).unwrap();
        assert!(is_zero(&gap), "between {at} and {}", range.start);
        at = range.end;
    }
}
