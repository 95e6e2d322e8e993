//! Reads images of mksquashfs and mkfs.erofs with every compressor that these support.

use super::*;
use crate::disk::VolumeKind;
use crate::disk::{detect, judge, read_file};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn sample(root: &Path) {
    let at = |name: &str| root.join(name);
    std::fs::create_dir_all(at("etc/deep")).unwrap();
    std::fs::write(at("etc/hostname"), "sample\n").unwrap();
    std::fs::write(at("etc/empty"), "").unwrap();
    std::fs::hard_link(at("etc/hostname"), at("etc/deep/same")).unwrap();
    symlink("../etc/hostname", at("etc/link")).unwrap();
    let large: Vec<u8> = (0..700_000u32).flat_map(|number| number.to_le_bytes()).collect();
    std::fs::write(at("large"), &large).unwrap();
    let mut holes = vec![0; 3 << 20];
    holes[2 << 20..].fill(7);
    std::fs::write(at("holes"), holes).unwrap();
    std::fs::set_permissions(at("large"), PermissionsExt::from_mode(0o750)).unwrap();
    let _ = rustix::fs::setxattr(at("large"), "user.test", b"value", rustix::fs::XattrFlags::empty());
}

fn make(program: &str, args: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (root, image) = (directory.path().join("root"), directory.path().join("image"));
    std::fs::create_dir(&root).unwrap();
    sample(&root);
    let mut command = judge(program);
    match program {
        "mksquashfs" => command.args([&root, &image]).args(args),
        _ => command.args(args).args([&image, &root]),
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(image).unwrap()
}

fn check(kind: Packed, image: &[u8], what: &str) -> Unpacked {
    assert_eq!(detect(&image).unwrap(), Some(VolumeKind::Packed(kind)), "{what}");
    let directory = tempfile::tempdir().unwrap();
    let unpacked = unpack(kind, &image, directory.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let expected = directory.path().join("root");
    std::fs::create_dir(&expected).unwrap();
    sample(&expected);
    let size = unpacked.file.metadata().unwrap().len();
    let window = crate::disk::Window { file: &unpacked.file, offset: 0, size };
    for path in ["etc/hostname", "etc/empty", "etc/deep/same", "etc/link", "large", "holes"] {
        let node = &unpacked.tree.nodes
            [unpacked.tree.find(&format!("/{path}")).unwrap_or_else(|| panic!("{what}: {path}"))];
        assert_eq!(
            read_file(&window, node, u64::MAX).unwrap(),
            std::fs::read(expected.join(path)).unwrap(),
            "{what}: {path}"
        );
        let metadata = std::fs::metadata(expected.join(path)).unwrap();
        assert_eq!((node.mode, node.uid), (metadata.mode(), metadata.uid()), "{what}: {path}");
    }
    let link = unpacked.tree.find_nofollow("/etc/link").unwrap();
    assert_eq!(unpacked.tree.nodes[link].body, Body::Link(b"../etc/hostname".to_vec()), "{what}");
    unpacked
}

#[test]
fn mksquashfs_images_are_unpacked() {
    for compressor in ["gzip", "xz", "zstd", "lz4"] {
        let image = make("mksquashfs", &["-comp", compressor, "-no-progress", "-quiet"]);
        check(Packed::Squashfs, &image, compressor);
    }
}

#[test]
fn mkfs_erofs_images_are_unpacked() {
    for args in [&[][..], &["-zlz4"], &["-zlz4hc,12", "-C65536"]] {
        let image = make("mkfs.erofs", args);
        let unpacked = check(Packed::Erofs, &image, &format!("{args:?}"));
        assert!(unpacked.uuid.is_some());
        let find = |path: &str| unpacked.tree.find(path).unwrap();
        assert_eq!(find("/etc/hostname"), find("/etc/deep/same"), "hard links are one node");
        let large = &unpacked.tree.nodes[find("/large")];
        assert_eq!(large.attributes.get(&b"user.test"[..]).map(Vec::as_slice), Some(&b"value"[..]));
    }
}

/// Changing bytes anywhere results in an error or another tree, but not in a panic or an endless loop.
#[test]
fn damage_does_not_panic() {
    let directory = tempfile::tempdir().unwrap();
    let images = [
        (Packed::Squashfs, make("mksquashfs", &["-comp", "zstd", "-no-progress", "-quiet"])),
        (Packed::Erofs, make("mkfs.erofs", &["-zlz4"])),
    ];
    for (kind, image) in images {
        let mut errors = 0;
        for step in 0..60 {
            let mut image = image.clone();
            // Change each byte of the superblock, and positions all over the image.
            let at = match (kind, step) {
                (Packed::Squashfs, ..30) => step * 3,
                (Packed::Erofs, ..30) => 1024 + step * 3,
                _ => image.len() / 30 * (step - 30),
            };
            image[at] ^= 0x5a;
            errors += usize::from(unpack(kind, &&image[..], directory.path()).is_err());
        }
        assert!(errors > 5, "{kind:?}: {errors}");
        assert!(unpack(kind, &&image[..image.len() / 3], directory.path()).is_err());
    }
}
