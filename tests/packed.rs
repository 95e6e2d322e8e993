//! Roots that are packed: squashfs and erofs, as builders of appliances make them. What is in them is judged like any other.

mod common;

use common::system::install;
use common::{text, tools_missing, verify};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

fn run(program: &str, args: &[&str]) {
    let path = "/usr/sbin:/sbin:/usr/bin:/bin";
    let output = Command::new(program).args(args).env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// A GPT with one partition of the root's type, which the filesystem lies in.
fn disk(directory: &Path, filesystem: &Path) -> std::path::PathBuf {
    const START: u64 = 1 << 20;
    let bytes = std::fs::read(filesystem).unwrap();
    let size = (bytes.len() as u64).next_multiple_of(START);
    let image = directory.join("disk.img");
    let file = std::fs::File::create(&image).unwrap();
    file.set_len(START + size + START).unwrap();
    let script = directory.join("script");
    let root = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709";
    let table = format!("label: gpt\nstart=2048, size={}, type={root}\n", size / 512);
    std::fs::write(&script, table).unwrap();
    let shell = format!("sfdisk -q {} <{}", image.display(), script.display());
    run("sh", &["-c", &shell]);
    file.write_all_at(&bytes, START).unwrap();
    image
}

#[test]
fn a_packed_root_is_judged() {
    if tools_missing(&["mksquashfs", "mkfs.erofs", "sfdisk"]) {
        return;
    }
    type Make = fn(&str, &str);
    let kinds: [(&str, Make); 3] = [
        ("squashfs", |root, out| run("mksquashfs", &[root, out, "-comp", "zstd", "-quiet", "-no-progress"])),
        ("erofs", |root, out| run("mkfs.erofs", &["-zlz4hc", out, root])),
        ("erofs", |root, out| run("mkfs.erofs", &[out, root])),
    ];
    for (name, make) in kinds {
        let found = |damage: &dyn Fn(&Path), bytes: Option<usize>| {
            let directory = tempfile::tempdir().unwrap();
            let (root, packed) = (directory.path().join("root"), directory.path().join("packed"));
            std::fs::create_dir(&root).unwrap();
            install(&root);
            damage(&root);
            make(root.to_str().unwrap(), packed.to_str().unwrap());
            if let Some(at) = bytes {
                std::fs::File::options()
                    .write(true)
                    .open(&packed)
                    .unwrap()
                    .write_all_at(&[0xa5; 64], at as u64)
                    .unwrap();
            }
            verify(&disk(directory.path(), &packed), &[])
        };
        let has = |findings: &[String], rule: &str| findings.iter().any(|f| f.contains(&format!("[{rule}]")));
        let good = found(&|_| {}, None);
        for rule in ["filesystem-not-read", "filesystem-unreadable", "init-program", "accounts", "machine-id"]
        {
            assert!(!has(&good, rule), "{name}: {good:#?}");
        }
        let broken = found(
            &|root| {
                std::fs::remove_file(root.join("usr/sbin/init")).unwrap();
                std::fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
            },
            None,
        );
        assert!(has(&broken, "init-program") && has(&broken, "machine-id"), "{name}: {broken:#?}");
        let damaged = found(&|_| {}, Some(if name == "erofs" { 1040 } else { 40 }));
        assert!(has(&damaged, "filesystem-unreadable"), "{name}: {damaged:#?}");
    }
}
