//! Filesystems of images: made from a tree with all kinds of files, checked by fsck, and read back by ister and other
//! programs.

use crate::common::system::{EPOCH, add_special_files, install, is_root, make, make_with, plan, template};
use ister::disk::{Body, Content, Opened, Source, Tree, Window, luks, read_file, scan};
use ister::plan::{Inputs, Plan};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(program: &str, args: &[&str]) -> String {
    let path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
    let output = Command::new(program).args(args).env("PATH", path).output().unwrap();
    let printed = crate::common::text(&output.stdout) + &crate::common::text(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {printed}");
    printed
}

/// Copies a partition to a separate file.
fn cut_out(plan: &Plan, image: &Path, number: u32) -> PathBuf {
    let disk = &plan.disks[0];
    let partition = disk.partitions.iter().find(|p| p.number == number).unwrap();
    let out = image.with_extension(format!("part{number}"));
    let (skip, count) = (disk.offset(partition).0 >> 20, partition.size.0 >> 20);
    run(
        "dd",
        &[
            &format!("if={}", image.display()),
            &format!("of={}", out.display()),
            "bs=1M",
            &format!("skip={skip}"),
            &format!("count={count}"),
            "conv=sparse",
            "status=none",
        ],
    );
    out
}

fn fsck(kind: &str, path: &Path) {
    let path = path.to_str().unwrap();
    match kind {
        "vfat" => run("fsck.fat", &["-n", path]),
        "xfs" => run("xfs_repair", &["-n", "-f", path]),
        "btrfs" => run("btrfs", &["check", "--readonly", "--check-data-csum", path]),
        _ => run("e2fsck", &["-fn", path]),
    };
}

/// Returns all attributes and the content of each path. Sizes of directories and inode numbers are omitted, because
/// they depend on the filesystem.
fn description(tree: &Tree, source: &dyn Fn(usize) -> Vec<u8>) -> BTreeMap<Vec<u8>, String> {
    let mut links: BTreeMap<usize, usize> = BTreeMap::new();
    for (_, id) in tree.paths() {
        *links.entry(id).or_default() += 1;
    }
    tree.paths()
        .into_iter()
        .filter(|(path, _)| !path.starts_with(b"/lost+found"))
        .map(|(path, id)| {
            let node = &tree.nodes[id];
            let what = match &node.body {
                Body::Directory(_) => "directory".to_owned(),
                Body::File(_) => {
                    format!("{} bytes, BLAKE3 {}", node.size, blake3::hash(&source(id)).to_hex())
                }
                Body::Link(target) => format!("to {}", target.escape_ascii()),
                Body::Device { major, minor } => format!("{major}:{minor}"),
                Body::Other => "other".to_owned(),
            };
            let text = format!(
                "{:o} {}:{} names {} time {:?} {:?} {what}",
                node.mode, node.uid, node.gid, links[&id], node.modified, node.attributes
            );
            (path, text)
        })
        .collect()
}

fn of_directory(directory: &Path) -> BTreeMap<Vec<u8>, String> {
    let scan = scan(directory, EPOCH as i64).unwrap();
    description(&scan.tree, &|id| std::fs::read(&scan.paths[id]).unwrap())
}

fn of_filesystem(source: &dyn Source) -> BTreeMap<Vec<u8>, String> {
    let tree = Opened::open(source).unwrap().tree().unwrap();
    description(&tree, &|id| read_file(source, &tree.nodes[id], u64::MAX >> 20).unwrap())
}

/// Asserts that a sparse file occupies only its allocated blocks.
fn assert_sparse(source: &dyn Source) {
    let tree = Opened::open(source).unwrap().tree().unwrap();
    let node = &tree.nodes[tree.find("/odd/sparse").unwrap()];
    let Body::File(Content::Extents(extents)) = &node.body else { panic!("not a file with extents") };
    let bytes: u64 = extents.iter().map(|extent| extent.length).sum();
    assert!(node.size == 64 << 20 && bytes < 1 << 20, "{bytes} of {}", node.size);
}

fn all_kinds_of_files_are_stored() {
    for (kind, options) in
        [("ext2", ""), ("ext3", ""), ("ext4", ""), ("ext4", "-b 1024 -O ^64bit"), ("btrfs", ""), ("xfs", "")]
    {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        install(&root);
        add_special_files(&root, is_root());
        let mut template = template(kind, &[("16M", "vfat", "/mnt")]);
        template["FilesystemTypes"][2]["options"] = options.into();
        template["FilesystemTypes"][2]["label"] = "root".into();
        let plan = plan(&template, |_| {});
        let image = make(&plan, &root, directory.path());
        // The rest of the tree is the root filesystem: /boot and /mnt were moved out.
        let expected = of_directory(&root);
        let part = cut_out(&plan, &image, 3);
        fsck(kind, &part);
        let file = File::open(&part).unwrap();
        let window = Window { file: &file, offset: 0, size: file.metadata().unwrap().len() };
        let found = of_filesystem(&window);
        for (path, text) in &expected {
            assert_eq!(found.get(path), Some(text), "{kind} {options}: {}", path.escape_ascii());
        }
        assert_eq!(found.len(), expected.len(), "{kind} {options}");
        assert_sparse(&window);
        let probe = run("blkid", &["-p", "-o", "export", part.to_str().unwrap()]);
        let uuid = plan.disks[0].partitions[2].filesystem.as_ref().unwrap().uuid.clone().unwrap();
        assert!(probe.contains(&format!("\nUUID={uuid}\n")) && probe.contains("LABEL=root\n"), "{probe}");
        read_with_other_programs(kind, &part, directory.path());
        fsck("vfat", &cut_out(&plan, &image, 1));
    }
}

/// Reads the filesystem with independent programs.
fn read_with_other_programs(kind: &str, part: &Path, directory: &Path) {
    let path = part.to_str().unwrap();
    match kind {
        "btrfs" => {
            let out = directory.join("restored");
            std::fs::create_dir(&out).unwrap();
            run("btrfs", &["restore", "-S", path, out.to_str().unwrap()]);
            assert_eq!(std::fs::read(out.join("odd/large")).unwrap(), vec![1; 3 << 20]);
            assert_eq!(std::fs::read_dir(out.join("odd/many")).unwrap().count(), 300);
        }
        // No program reads files of an unmounted XFS filesystem. vm-tests boots one.
        "xfs" => {}
        _ => {
            let stat = run("debugfs", &["-R", "stat \"/odd/two words\"", path]);
            assert!(stat.contains("Links: 2"), "{stat}");
            if is_root() {
                assert!(stat.contains("User:  1234   Group: 70000"), "{stat}");
                let stat = run("debugfs", &["-R", "stat /odd/large", path]);
                assert!(stat.contains("security.capability"), "{stat}");
            }
        }
    }
}

/// The output depends neither on the order in which the tree was created, nor on time, nor on the filesystem that
/// contains it.
fn filesystems_are_reproducible() {
    let memory = Path::new("/dev/shm");
    for (kind, sector) in [("ext4", 512), ("ext2", 512), ("btrfs", 512), ("xfs", 512), ("xfs", 4096)] {
        let hash = |place: &Path, backwards: bool| {
            let directory = tempfile::tempdir_in(place).unwrap();
            let root = directory.path().join("root");
            std::fs::create_dir(&root).unwrap();
            if backwards {
                // Create the names in reverse order.
                std::fs::create_dir_all(root.join("odd/many")).unwrap();
                for number in (0..300).rev() {
                    std::fs::write(root.join(format!("odd/many/file-{number:04}")), "").unwrap();
                }
            }
            install(&root);
            add_special_files(&root, is_root());
            let plan = plan(&template(kind, &[]), |inputs: &mut Inputs| {
                inputs.sector_size = (sector as u64).try_into().unwrap();
            });
            let image = make(&plan, &root, directory.path());
            ister::image::sha256(&image).unwrap()
        };
        let first = hash(&std::env::temp_dir(), false);
        std::thread::sleep(std::time::Duration::from_millis(1100));
        let second = hash(if memory.is_dir() { memory } else { Path::new("/tmp") }, true);
        assert_eq!(first, second, "{kind} with sectors of {sector} bytes");
    }
}

fn encrypted_filesystem_opens_only_with_its_passphrase() {
    for (kind, sector) in [("ext4", 512), ("ext2", 512), ("xfs", 512), ("btrfs", 512), ("ext4", 4096)] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        install(&root);
        add_special_files(&root, is_root());
        let mut template = template(kind, &[]);
        template["FilesystemTypes"][2]["encryption"] =
            serde_json::json!({ "name": "cryptroot", "passphrase": { "env": "P" } });
        template["PartitionMountPoints"][1]["encryption"] = serde_json::json!({ "name": "cryptroot" });
        template["PartitionLayout"][2]["size"] = "340M".into();
        let plan = plan(&template, |inputs: &mut Inputs| {
            inputs.sector_size = (sector as u64).try_into().unwrap();
        });
        let secret = [("cryptroot", "open sesame")];
        let image = make_with(&plan, &root, directory.path(), &secret, Some("seed"));
        let part = cut_out(&plan, &image, 3);
        let expected = of_directory(&root);

        let file = File::open(&part).unwrap();
        let window = Window { file: &file, offset: 0, size: file.metadata().unwrap().len() };
        let volume = luks::Luks::open(&window).unwrap();
        assert!(volume.unlock(b"open sesamE").is_err());
        let plain = volume.plain(&volume.unlock(b"open sesame").unwrap()).unwrap();
        let found = of_filesystem(&plain);
        assert_eq!(found, expected, "{kind}");

        // cryptsetup accepts the passphrase, and the image does not contain plaintext.
        let key = directory.path().join("key");
        std::fs::write(&key, "open sesame").unwrap();
        let (key, part_name) = (key.to_str().unwrap(), part.to_str().unwrap());
        run("cryptsetup", &["open", "--test-passphrase", "--key-file", key, part_name]);
        let dump = run("cryptsetup", &["luksDump", part_name]);
        let uuid = plan.disks[0].partitions[2].encryption.as_ref().unwrap().uuid.to_string();
        assert!(dump.contains(&uuid) && dump.contains("aes-xts-plain64"), "{dump}");
        let bytes = std::fs::read(&part).unwrap();
        for word in ["open sesame", "modules.dep", "#!/bin/sh"] {
            assert!(memchr::memmem::find(&bytes, word.as_bytes()).is_none(), "{kind}: {word}");
        }

        // Verification against the plan and fsck find nothing.
        let findings = crate::common::verify(&image, &["open sesame"]);
        assert_eq!(findings, [""; 0], "{kind}");
    }
}

fn encryption_is_reproducible_with_a_seed_and_random_without() {
    let hash = |seed: Option<&str>| {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        install(&root);
        let mut template = template("ext4", &[]);
        template["FilesystemTypes"][2]["encryption"] =
            serde_json::json!({ "name": "cryptroot", "passphrase": { "env": "P" } });
        template["PartitionMountPoints"][1]["encryption"] = serde_json::json!({ "name": "cryptroot" });
        let plan = plan(&template, |_| {});
        let image = make_with(&plan, &root, directory.path(), &[("cryptroot", "open sesame")], seed);
        ister::image::sha256(&image).unwrap()
    };
    assert_eq!(hash(Some("a")), hash(Some("a")));
    assert_ne!(hash(Some("a")), hash(Some("b")));
    assert_ne!(hash(None), hash(None));
}

/// Content of exactly the capacity in the plan fits into the filesystem.
fn planned_capacity_is_available() {
    for kind in ["ext4", "ext2", "vfat", "xfs", "btrfs"] {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        install(&root);
        let plan = plan(&template("ext4", &[("320M", kind, "/mnt")]), |_| {});
        let space = plan.disks[0].partitions[3].space.unwrap();
        // One file that fills the filesystem except for its metadata and directory entry.
        let unit = space.allocation_unit.0;
        let mut capacity = space.offers.0 / unit * unit - 2 * unit - space.per_file.0;
        if kind == "ext2" {
            // Indirect blocks of the file.
            capacity -= (capacity / unit / (unit / 4) + 4) * unit;
        }
        let file = File::create(root.join("mnt/filling")).unwrap();
        use std::io::Write;
        let block = vec![0xa5; 1 << 20];
        let mut left = capacity;
        while left > 0 {
            let count = left.min(block.len() as u64);
            (&file).write_all(&block[..count as usize]).unwrap();
            left -= count;
        }
        let image = make(&plan, &root, directory.path());
        fsck(kind, &cut_out(&plan, &image, 4));
    }
}

crate::tests! {
    all_kinds_of_files_are_stored,
    filesystems_are_reproducible,
    encrypted_filesystem_opens_only_with_its_passphrase,
    encryption_is_reproducible_with_a_seed_and_random_without,
    planned_capacity_is_available,
}
