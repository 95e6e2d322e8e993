//! Filled filesystems are valid and read back unchanged.

use super::super::{WriteError, Xfs, fill};
use super::support::{Builder, FILL, MIB, Numbers, STANDARD, check, digest, fresh, node, window};
use crate::disk::scan::scan;
use crate::disk::tree::{Body, Content, Node, ROOT};
use std::os::unix::fs::FileExt;

/// An ACL as getxattr(2) returns it: owner, user 1000, group, mask, others.
fn acl() -> Vec<u8> {
    let entry = |tag: u16, permissions: u16, id: u32| {
        [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    [
        2_u32.to_le_bytes().to_vec(),
        entry(0x01, 6, none),
        entry(0x02, 4, 1000),
        entry(0x04, 4, none),
        entry(0x10, 6, none),
        entry(0x20, 4, none),
    ]
    .concat()
}

/// Nodes of all types, with attributes and names of all sizes.
pub(super) fn all_kinds() -> Builder {
    let mut numbers = Numbers(1);
    let mut builder = Builder::new();
    builder.scan.tree.nodes[ROOT].attributes.insert(b"user.root".to_vec(), b"yes".to_vec());
    builder.add(ROOT, b"a block device", node(0o060_660, Body::Device { major: 259, minor: 70_000 }));
    let device = builder.add(ROOT, b"a device", node(0o020_666, Body::Device { major: 1, minor: 3 }));
    builder.scan.tree.nodes[device].attributes.insert(b"security.selinux".to_vec(), vec![b's'; 1500]);
    builder.add(ROOT, b"a pipe", node(0o010_600, Body::Other));
    builder.add(ROOT, b"a socket", node(0o140_777, Body::Other));
    let acl = acl();
    for length in [0, 1, 100, 250, 255, 256, 300, 1000, 2000, 3000, 3050, 3060, 3070, 4096, 30_000, 65_536] {
        let file = builder.file(ROOT, format!("attribute {length:05}").as_bytes(), b"d".to_vec());
        let attributes = &mut builder.scan.tree.nodes[file].attributes;
        attributes.insert(b"user.value".to_vec(), numbers.bytes(length));
        // Names of all lengths modulo 4, with a value that is usually stored remotely.
        attributes.insert([b"user.", &vec![b'n'; 1 + length % 7][..]].concat(), numbers.bytes(length));
        attributes.insert(b"trusted.value".to_vec(), b"t".to_vec());
        attributes.insert(b"system.posix_acl_access".to_vec(), acl.clone());
    }
    let many = builder.file(ROOT, b"attributes, many", numbers.bytes(9000));
    for number in 0..2000 {
        let value = numbers.bytes(number % 300);
        builder.scan.tree.nodes[many].attributes.insert(format!("user.number{number}").into_bytes(), value);
    }
    let sticky = builder.directory(b"f sticky");
    builder.scan.tree.nodes[sticky].mode = 0o041_777;
    builder.scan.tree.nodes[sticky].attributes.insert(b"system.posix_acl_default".to_vec(), acl);
    for length in [1, 100, 335, 336, 337, 900, 1023] {
        let link = Node { size: length, ..node(0o120_777, Body::Link(vec![b't'; length as usize])) };
        builder.add(ROOT, format!("link {length:04}").as_bytes(), link);
    }
    for length in [0, 1, 4095, 4096, 4097, MIB, MIB + 1, 5_000_001] {
        builder.file(ROOT, format!("size {length:07}").as_bytes(), numbers.bytes(length as usize));
    }
    let hard = builder.file(ROOT, b"twice", b"shared".to_vec());
    builder.link(ROOT, b"twice again", hard);
    builder.scan.tree.nodes[hard].links = 2;
    builder.scan.tree.nodes[hard].mode = 0o106_755;
    builder.file(ROOT, &[b'x'; 255], b"long".to_vec());
    builder.file(ROOT, b"\xff\xfe no text", b"bytes".to_vec());
    builder
}

#[test]
fn all_node_types_on_all_filesystem_variants() {
    let Builder { scan } = all_kinds();
    for options in [
        STANDARD,
        "-m finobt=0,inobtcount=0 -l size=64m",
        "-m reflink=0 -l size=64m",
        "-m inobtcount=0 -i sparse=0 -l size=64m",
        "-i size=1024,nrext64=1 -l size=64m",
        "-i size=2048 -l size=64m",
        "-s size=4096 -l size=64m",
        "-b size=1024 -l size=64m",
        "-b size=2048 -n size=8192 -l size=64m",
        "-n size=65536 -d agcount=5 -l size=64m",
    ] {
        check(&scan, 400 * MIB, options);
    }
}

#[test]
fn times_without_bigtime_are_clamped() {
    let mut builder = Builder::new();
    let file = builder.file(ROOT, b"file", vec![]);
    builder.scan.tree.nodes[file].modified.seconds = 1 << 33;
    let image = fresh(400 * MIB, "-m bigtime=0 -l size=64m");
    fill(image.as_file(), &builder.scan, &FILL).unwrap();
    let window = window(image.as_file());
    let tree = Xfs::open(&window).unwrap().tree().unwrap();
    assert_eq!(tree.nodes[file].modified.seconds, i64::from(i32::MAX));
    assert_eq!(tree.nodes[file].changed, builder.scan.tree.nodes[file].changed);
}

#[test]
fn directories_of_all_sizes() {
    let mut numbers = Numbers(2);
    let mut builder = Builder::new();
    let file = builder.file(ROOT, b"0", vec![]);
    for count in [0, 1, 2, 15, 20, 40, 90, 120, 400, 500, 1000, 3000, 20_000, 100_000] {
        let directory = builder.directory(format!("{count:06}").as_bytes());
        for number in 0..count {
            let mut name = format!("{number}.").into_bytes();
            let longest = if count <= 3000 { 240 } else { 9 };
            name.resize(name.len() + (numbers.next() % longest) as usize, 0xe9);
            builder.link(directory, &name, file);
        }
        builder.scan.tree.nodes[file].links += count;
    }
    check(&builder.scan, 400 * MIB, STANDARD);
}

#[test]
fn many_inodes_need_btrees_with_levels() {
    let mut builder = Builder::new();
    let directory = builder.directory(b"directory");
    for number in 0..40_000 {
        builder.file(directory, format!("{number:05}").as_bytes(), vec![]);
    }
    check(&builder.scan, 400 * MIB, STANDARD);
}

#[test]
fn holes_are_preserved() {
    let directory = tempfile::tempdir().unwrap();
    let create = |name: &str, size| {
        let file = std::fs::File::create(directory.path().join(name)).unwrap();
        file.set_len(size).unwrap();
        file
    };
    let sparse = create("5000 extents", 80_000_001);
    for part in 0..5000_u64 {
        sparse.write_all_at(&[part as u8 | 1; 4096], part * 3 * 4096).unwrap();
    }
    create("a hole", 1 << 40);
    create("end of a hole", 1 << 36).write_all_at(b"end", (1 << 36) - 3).unwrap();
    let large = create("large", 150 * MIB);
    large.write_all_at(&vec![1; 150 << 20], 0).unwrap();
    let scan = scan(directory.path(), i64::MAX).unwrap();
    let image = check(&scan, 400 * MIB, STANDARD);
    let window = window(image.as_file());
    let tree = Xfs::open(&window).unwrap().tree().unwrap();
    let Body::File(Content::Extents(extents)) = &tree.nodes[1].body else { panic!("not a regular file") };
    assert_eq!(extents.len(), 5000);
    let mut block = [0; 4096];
    for (part, extent) in extents.iter().enumerate() {
        image.as_file().read_exact_at(&mut block, extent.from).unwrap();
        assert_eq!(block, [part as u8 | 1; 4096]);
    }
}

#[test]
fn too_small_filesystems_are_rejected_before_writing() {
    let mut builder = Builder::new();
    for number in 0..4 {
        builder.file(ROOT, &[b'0' + number], vec![1; 90 << 20]);
    }
    let image = fresh(400 * MIB, STANDARD);
    let before = digest(image.as_file());
    match fill(image.as_file(), &builder.scan, &FILL) {
        Err(WriteError::Full { need, have }) => {
            assert!(have < 336 * MIB && need >= 360 * MIB, "{need} {have}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(before, digest(image.as_file()));
}

#[test]
fn unsupported_features_are_rejected_by_name() {
    let scan = Builder::new().scan;
    let fill_error = |options: &str| {
        let image = fresh(400 * MIB, options);
        fill(image.as_file(), &scan, &FILL).unwrap_err().to_string()
    };
    assert!(fill_error("-m rmapbt=1 -l size=64m").contains("rmapbt"));
    assert!(
        fill_error("-m crc=0,finobt=0,reflink=0,bigtime=0,inobtcount=0 -l size=64m").contains("version 4")
    );
    let image = fresh(400 * MIB, STANDARD);
    fill(image.as_file(), &all_kinds().scan, &FILL).unwrap();
    assert!(matches!(fill(image.as_file(), &scan, &FILL), Err(WriteError::NotEmpty(_))));
}

#[test]
fn unsupported_nodes_are_rejected() {
    let fill_error = |change: fn(&mut Node)| {
        let mut builder = Builder::new();
        let file = builder.file(ROOT, b"file", vec![]);
        change(&mut builder.scan.tree.nodes[file]);
        let image = fresh(400 * MIB, STANDARD);
        fill(image.as_file(), &builder.scan, &FILL).unwrap_err().to_string()
    };
    assert!(
        fill_error(|node| drop(node.attributes.insert(b"system.nfs4_acl".to_vec(), vec![])))
            .contains("not in a namespace")
    );
    assert!(
        fill_error(|node| drop(node.attributes.insert(b"user.a".to_vec(), vec![0; 65_537])))
            .contains("64 KiB")
    );
    assert!(fill_error(|node| node.body = Body::Link(vec![b'a'; 1024])).contains("1024 bytes"));
    assert!(fill_error(|node| node.body = Body::Device { major: 1 << 14, minor: 0 }).contains("16384:0"));
}
