//! Verification of compressed read-only root filesystems: squashfs and erofs, as used by appliances.

use crate::common::system::install;
use crate::common::{need_tools, text, verify};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

fn run(program: &str, args: &[&str]) {
    let path = "/usr/sbin:/sbin:/usr/bin:/bin";
    let output = Command::new(program).args(args).env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// Creates a disk with a GPT and one root partition that contains the filesystem.
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

fn packed_roots_are_verified() {
    need_tools(&["mksquashfs", "mkfs.erofs", "sfdisk"]);
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

/// A squashfs root with dm-verity, whose root hash is on the command line. Source: Discoverable Partitions
/// Specification.
fn verity_hashes_are_verified() {
    need_tools(&["mksquashfs", "veritysetup", "sfdisk", "mkfs.vfat", "mcopy"]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let named = |name: &str| at(name).display().to_string();
    std::fs::create_dir(at("root")).unwrap();
    install(&at("root"));
    // Incompressible data of more than one block.
    let large: Vec<u8> =
        (0..9000_u32).flat_map(|number| blake3::hash(&number.to_le_bytes()).as_bytes().to_vec()).collect();
    std::fs::write(at("root/usr/large"), large).unwrap();
    run("mksquashfs", &[&named("root"), &named("data"), "-comp", "zstd", "-quiet", "-no-progress"]);
    run("veritysetup", &["format", "--root-hash-file", &named("hash"), &named("data"), &named("tree")]);
    let hash = std::fs::read_to_string(at("hash")).unwrap().trim().to_owned();
    let guid = |digits: &str| uuid::Uuid::parse_str(digits).unwrap().to_string();
    let esp = std::fs::File::create(at("esp")).unwrap();
    esp.set_len(33 << 20).unwrap();
    run("mkfs.vfat", &["-F", "16", &named("esp")]);
    std::fs::write(at("entry"), format!("title t\nlinux /linux\ninitrd /initrd\noptions roothash={hash}\n"))
        .unwrap();
    run("mmd", &["-i", &named("esp"), "::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries"]);
    for (from, to) in [
        ("root/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "EFI/BOOT/BOOTX64.EFI"),
        ("root/boot/vmlinuz-6.1.0", "linux"),
        ("root/boot/initrd.img-6.1.0", "initrd"),
        ("entry", "loader/entries/t.conf"),
    ] {
        run("mcopy", &["-i", &named("esp"), &named(from), &format!("::/{to}")]);
    }
    let image = |name: &str, data: &str, tree: &str| {
        let mut table = "label: gpt\n".to_owned();
        let mut start = 2048;
        let mut parts = Vec::new();
        for (kind, uuid, from) in [
            ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", uuid::Uuid::from_u128(7).to_string(), "esp"),
            ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", guid(data), "data"),
            ("2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5", guid(tree), "tree"),
        ] {
            let bytes = std::fs::read(at(from)).unwrap();
            let sectors = (bytes.len() as u64).next_multiple_of(1 << 20) / 512;
            table.push_str(&format!("start={start}, size={sectors}, type={kind}, uuid={uuid}\n"));
            parts.push((start * 512, bytes));
            start += sectors;
        }
        let file = std::fs::File::create(at(name)).unwrap();
        file.set_len((start + 2048) * 512).unwrap();
        std::fs::write(at("script"), table).unwrap();
        run("sh", &["-c", &format!("sfdisk -q {} <{}", named(name), named("script"))]);
        for (place, bytes) in &parts {
            file.write_all_at(bytes, *place).unwrap();
        }
        parts[1].0
    };
    let found = |name: &str| -> Vec<String> {
        let findings = verify(&at(name), &[]).into_iter();
        findings.filter(|f| ["verity", "root-", "filesystem"].iter().any(|rule| f.contains(rule))).collect()
    };
    let half = hash.len() - 32;
    let place = image("good.img", &hash[..32], &hash[half..]);
    let good = found("good.img");
    assert!(good.iter().all(|finding| !finding.contains("[verity-hash]")), "{good:#?}");
    let file = std::fs::File::options().write(true).open(at("good.img")).unwrap();
    file.write_all_at(b"damage", place + 40_960).unwrap();
    let damaged = found("good.img");
    assert!(
        damaged
            .iter()
            .any(|f| f.contains("[verity-hash]")
                && f.contains("hash mismatch in the data block at byte 40960")),
        "{damaged:#?}"
    );
    image("other.img", &hash[..32], &"7".repeat(32));
    let other = found("other.img");
    assert!(other.iter().any(|f| f.contains("missing partition with GUID")), "{other:#?}");
}

crate::tests! {
    packed_roots_are_verified,
    verity_hashes_are_verified,
}
