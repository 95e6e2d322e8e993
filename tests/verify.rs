//! Verification: nothing is found in good images of every format, and every kind of damage is found by the rule that is
//! for it, by that one first.

mod common;

use common::system::{add_oddities, install, is_root, make, plan, template};
use common::{text, verify};
use ister::plan::layout::gpt;
use ister::plan::{Disk, Plan};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn run(program: &str, args: &[&str]) {
    let path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
    let output = Command::new(program)
        .args(args)
        .env("PATH", path)
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// An image, its plan, and a copy that each test may break.
struct Good {
    directory: tempfile::TempDir,
    image: PathBuf,
    plan: Plan,
}

impl Good {
    fn new(template: &serde_json::Value, prepare: impl FnOnce(&Path)) -> Good {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        install(&root);
        prepare(&root);
        let plan = plan(template, |_| {});
        let image = make(&plan, &root, directory.path());
        Good { directory, image, plan }
    }

    fn disk(&self) -> &Disk {
        &self.plan.disks[0]
    }

    /// Bytes from the image's start to the partition's.
    fn offset(&self, number: u32) -> u64 {
        let partition = self.disk().partitions.iter().find(|p| p.number == number).unwrap();
        self.disk().offset(partition).0
    }

    /// What verification finds in a copy that was damaged; the copy has the plan beside it.
    fn damaged(&self, damage: &dyn Fn(&Good, &Path)) -> Vec<String> {
        let copy = self.directory.path().join("damaged.img");
        run("cp", &["--sparse=always", self.image.to_str().unwrap(), copy.to_str().unwrap()]);
        std::fs::copy(format!("{}.plan.json", self.image.display()), format!("{}.plan.json", copy.display()))
            .unwrap();
        damage(self, &copy);
        verify(&copy, &[])
    }

    /// Runs `command` of debugfs on the root filesystem.
    fn debugfs(&self, image: &Path, command: &str) {
        let device = format!("{}?offset={}", image.display(), self.offset(3));
        run("debugfs", &["-w", "-R", command, &device]);
    }

    /// Puts a text in the place of a file of the root filesystem.
    fn put(&self, image: &Path, path: &str, content: &[u8], mode: &str) {
        let host = self.directory.path().join("put");
        std::fs::write(&host, content).unwrap();
        let device = format!("{}?offset={}", image.display(), self.offset(3));
        // There may be none.
        let _ = Command::new("/sbin/debugfs").args(["-w", "-R", &format!("rm {path}"), &device]).output();
        self.debugfs(image, &format!("write {} {path}", host.display()));
        self.debugfs(image, &format!("set_inode_field {path} mode {mode}"));
    }

    /// The ESP, as mtools name it.
    fn esp(&self, image: &Path) -> String {
        format!("{}@@{}", image.display(), self.offset(1))
    }

    fn put_in_esp(&self, image: &Path, path: &str, content: &[u8]) {
        let host = self.directory.path().join("put");
        std::fs::write(&host, content).unwrap();
        run("mcopy", &["-o", "-i", &self.esp(image), host.to_str().unwrap(), &format!("::{path}")]);
    }

    fn copy_from_esp(&self, image: &Path, path: &str) -> Vec<u8> {
        let host = self.directory.path().join("copy");
        run("mcopy", &["-n", "-o", "-i", &self.esp(image), &format!("::{path}"), host.to_str().unwrap()]);
        std::fs::read(host).unwrap()
    }

    /// To the kernel's command line.
    fn add_option(&self, image: &Path, option: &str) {
        let (name, entry) = self.entry(image);
        self.put_in_esp(image, &name, format!("{entry}options {option}\n").as_bytes());
    }

    fn entry(&self, image: &Path) -> (String, String) {
        let listing = Command::new("mdir")
            .args(["-b", "-i", &self.esp(image), "::/loader/entries"])
            .env("MTOOLS_SKIP_CHECK", "1")
            .output()
            .unwrap();
        let name = text(&listing.stdout).lines().next().unwrap().trim_start_matches("::").trim().to_owned();
        let host = self.directory.path().join("entry");
        run("mcopy", &["-n", "-o", "-i", &self.esp(image), &format!("::{name}"), host.to_str().unwrap()]);
        (name, std::fs::read_to_string(host).unwrap())
    }
}

fn open(image: &Path) -> File {
    File::options().read(true).write(true).open(image).unwrap()
}

fn flip(image: &Path, at: u64) {
    let file = open(image);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

fn size(image: &Path) -> u64 {
    image.metadata().unwrap().len()
}

/// Changes entries of both tables and makes the checksums right again: a table that is valid and wrong.
fn change_entries(image: &Path, change: &dyn Fn(&mut [u8])) {
    let file = open(image);
    let size = size(image);
    for (header, array) in [(512, 1024), (size - 512, size - 33 * 512)] {
        let mut entries = vec![0; 128 * 128];
        file.read_exact_at(&mut entries, array).unwrap();
        change(&mut entries);
        file.write_all_at(&entries, array).unwrap();
        let mut bytes = vec![0; 92];
        file.read_exact_at(&mut bytes, header).unwrap();
        bytes[88..92].copy_from_slice(&gpt::crc32(&entries).to_le_bytes());
        bytes[16..20].fill(0);
        let crc = gpt::crc32(&bytes);
        bytes[16..20].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&bytes, header).unwrap();
    }
}

type Damage = (&'static str, &'static str, fn(&Good, &Path));

/// The kind of damage, the rule that must find it, and how it is done.
const DAMAGES: &[Damage] = &[
    ("a flipped byte in the primary header", "gpt-primary", |_, image| flip(image, 512 + 60)),
    ("no primary header at all", "gpt-primary", |_, image| open(image).write_all_at(&[0; 512], 512).unwrap()),
    ("a flipped byte in the backup header", "gpt-backup", |_, image| flip(image, size(image) - 512 + 33)),
    ("an image that was padded", "gpt-backup", |_, image| {
        open(image).set_len(size(image) + (1 << 20)).unwrap();
    }),
    ("an image that was cut", "gpt-backup", |_, image| {
        open(image).set_len(size(image) - 512).unwrap();
    }),
    ("an ESP that was made for another place", "filesystem-place", |good, image| {
        open(image).write_all_at(&[63, 0, 0, 0], good.offset(1) + 28).unwrap();
    }),
    ("a flipped byte in the primary entries", "gpt-entries", |_, image| flip(image, 1024 + 40)),
    ("a flipped byte in the backup entries", "gpt-entries", |_, image| {
        flip(image, size(image) - 33 * 512 + 130)
    }),
    ("two tables that disagree", "gpt-copies", |_, image| {
        let file = open(image);
        let at = size(image) - 33 * 512;
        let mut entries = vec![0; 128 * 128];
        file.read_exact_at(&mut entries, at).unwrap();
        entries[48] ^= 4;
        file.write_all_at(&entries, at).unwrap();
        let mut header = vec![0; 92];
        file.read_exact_at(&mut header, size(image) - 512).unwrap();
        header[88..92].copy_from_slice(&gpt::crc32(&entries).to_le_bytes());
        header[16..20].fill(0);
        let crc = gpt::crc32(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&header, size(image) - 512).unwrap();
    }),
    ("partitions that overlap", "gpt-bounds", |_, image| {
        change_entries(image, &|entries| {
            let first = u64::from_le_bytes(entries[256 + 32..256 + 40].try_into().unwrap());
            entries[256 + 32..256 + 40].copy_from_slice(&(first - 2048).to_le_bytes());
        });
    }),
    ("a partition past the end", "gpt-bounds", |_, image| {
        change_entries(image, &|entries| entries[256 + 46] = 1);
    }),
    ("the same GUID twice", "gpt-guid", |_, image| {
        change_entries(image, &|entries| entries.copy_within(16..32, 128 + 16));
    }),
    ("a partition that is not aligned", "partition-alignment", |_, image| {
        change_entries(image, &|entries| entries[128 + 32] += 1);
    }),
    ("no protective MBR", "mbr-protective", |_, image| open(image).write_all_at(&[0; 66], 446).unwrap()),
    ("another disk GUID than planned", "plan-disk", |_, image| {
        let file = open(image);
        for at in [512, size(image) - 512] {
            let mut header = vec![0; 92];
            file.read_exact_at(&mut header, at).unwrap();
            header[56] ^= 1;
            header[16..20].fill(0);
            let crc = gpt::crc32(&header);
            header[16..20].copy_from_slice(&crc.to_le_bytes());
            file.write_all_at(&header, at).unwrap();
        }
    }),
    ("another partition type than planned", "plan-partition", |_, image| {
        change_entries(image, &|entries| entries[256] ^= 1);
    }),
    ("another filesystem UUID than planned", "plan-filesystem", |good, image| {
        let device = format!("{}?offset={}", image.display(), good.offset(3));
        run("debugfs", &["-w", "-R", "set_super_value uuid 12345678-1234-1234-1234-123456789abc", &device]);
    }),
    ("no filesystem", "filesystem-missing", |good, image| {
        open(image).write_all_at(&[0; 65_536], good.offset(2)).unwrap();
    }),
    ("a flipped byte in the root's superblock", "filesystem-damaged", |good, image| {
        flip(image, good.offset(3) + 1024 + 0x88);
    }),
    ("a flipped byte in a group descriptor", "filesystem-damaged", |good, image| {
        // They are in the block behind the superblock's.
        let mut log = [0; 4];
        open(image).read_exact_at(&mut log, good.offset(3) + 1024 + 24).unwrap();
        let block = 1024 << u32::from_le_bytes(log);
        flip(image, good.offset(3) + if block == 1024 { 2048 } else { block } + 3);
    }),
    ("a flipped byte in a FAT", "filesystem-damaged", |good, image| {
        // Behind the reserved sectors: cluster 2's entry.
        let file = open(image);
        let mut boot = [0; 512];
        file.read_exact_at(&mut boot, good.offset(1)).unwrap();
        let reserved = u64::from(u16::from_le_bytes([boot[14], boot[15]])) * 512;
        flip(image, good.offset(1) + reserved + 6);
    }),
    ("the same filesystem UUID twice", "uuid-repeated", |good, image| {
        let uuid = good.disk().partitions[2].filesystem.as_ref().unwrap().uuid.clone().unwrap();
        let bytes = uuid::Uuid::parse_str(&uuid).unwrap();
        open(image).write_all_at(bytes.as_bytes(), good.offset(2) + 1036).unwrap();
    }),
    ("the same label twice", "label-repeated", |good, image| {
        open(image).write_all_at(b"root", good.offset(2) + 1052).unwrap();
    }),
    ("no loader in the ESP", "esp-loader", |good, image| {
        run("mdel", &["-i", &good.esp(image), "::/EFI/BOOT/BOOTX64.EFI"]);
    }),
    ("a loader that is no program", "esp-loader", |good, image| {
        good.put_in_esp(image, "/EFI/BOOT/BOOTX64.EFI", b"not a program");
    }),
    ("no loader entry", "entry-missing", |good, image| {
        run("mdeltree", &["-i", &good.esp(image), "::/loader/entries"]);
    }),
    ("a missing kernel", "entry-kernel", |good, image| {
        run("mdel", &["-i", &good.esp(image), "::/test/6.1.0/linux"]);
    }),
    ("a missing initramfs", "entry-initrd", |good, image| {
        run("mdel", &["-i", &good.esp(image), "::/test/6.1.0/initrd.img-6.1.0"]);
    }),
    ("a kernel that is none", "kernel-damaged", |good, image| {
        good.put_in_esp(image, "/test/6.1.0/linux", &[0; 5000]);
    }),
    ("an initramfs that is none", "initrd-damaged", |good, image| {
        good.put_in_esp(image, "/test/6.1.0/initrd.img-6.1.0", &[0; 5000]);
    }),
    ("a truncated kernel", "kernel-damaged", |good, image| {
        let kernel = good.copy_from_esp(image, "/test/6.1.0/linux");
        good.put_in_esp(image, "/test/6.1.0/linux", &kernel[..kernel.len() - 5000]);
    }),
    ("a kernel for 32 bits", "kernel-damaged", |good, image| {
        let mut kernel = good.copy_from_esp(image, "/test/6.1.0/linux");
        kernel[0x236] = 0;
        good.put_in_esp(image, "/test/6.1.0/linux", &kernel);
    }),
    ("a truncated initramfs", "initrd-damaged", |good, image| {
        let archive = good.copy_from_esp(image, "/test/6.1.0/initrd.img-6.1.0");
        good.put_in_esp(image, "/test/6.1.0/initrd.img-6.1.0", &archive[..archive.len() - 300]);
    }),
    ("a loader for another processor", "esp-loader", |good, image| {
        let mut loader = good.copy_from_esp(image, "/EFI/BOOT/BOOTX64.EFI");
        loader[0x84..0x86].copy_from_slice(&[0x64, 0xaa]);
        good.put_in_esp(image, "/EFI/BOOT/BOOTX64.EFI", &loader);
    }),
    ("a device tree that is not there", "entry-devicetree", |good, image| {
        let (name, entry) = good.entry(image);
        good.put_in_esp(image, &name, format!("{entry}devicetree /board.dtb\n").as_bytes());
    }),
    ("a stop in the initramfs", "kernel-command-line", |good, image| good.add_option(image, "rd.break")),
    ("an init= that is not there", "kernel-command-line", |good, image| {
        good.add_option(image, "init=/sbin/nosuch")
    }),
    ("a line that the kernel does not read to its end", "kernel-command-line", |good, image| {
        good.add_option(image, &"x".repeat(2048));
    }),
    ("a second entry", "boot-entries", |good, image| {
        let (_, entry) = good.entry(image);
        good.put_in_esp(image, "/loader/entries/zzz.conf", entry.replace("version ", "version 0").as_bytes());
    }),
    ("another rootfstype=", "kernel-command-line", |good, image| good.add_option(image, "rootfstype=xfs")),
    ("no init", "init-program", |good, image| good.debugfs(image, "rm /usr/sbin/init")),
    ("an init that nobody may execute", "init-program", |good, image| {
        good.debugfs(image, "set_inode_field /usr/sbin/init mode 0100644");
    }),
    ("an init that leads nowhere", "init-program", |good, image| {
        good.debugfs(image, "rm /usr/sbin/init");
        good.debugfs(image, "symlink /usr/sbin/init /usr/lib/nosuch");
    }),
    ("an empty init", "init-program", |good, image| good.put(image, "/usr/sbin/init", b"", "0100755")),
    ("an init whose interpreter is not there", "init-program", |good, image| {
        good.put(image, "/usr/sbin/init", b"#!/usr/bin/nosuch\n", "0100755");
    }),
    ("no root in the accounts", "accounts", |good, image| {
        good.put(image, "/etc/passwd", b"ada:x:1000:1000::/home/ada:/bin/sh\n", "0100644");
    }),
    ("a default target that is not there", "default-target", |good, image| {
        good.debugfs(
            image,
            "symlink /etc/systemd/system/default.target /usr/lib/systemd/system/nosuch.target",
        );
    }),
    ("a getty that is masked", "getty", |good, image| {
        good.debugfs(image, "symlink /etc/systemd/system/serial-getty@ttyS0.service /dev/null");
    }),
    ("a unit that is enabled and missing", "unit-missing", |good, image| {
        good.debugfs(image, "mkdir /etc/systemd/system/basic.target.wants");
        good.debugfs(
            image,
            "symlink /etc/systemd/system/basic.target.wants/a.service /usr/lib/systemd/system/a.service",
        );
    }),
    ("a package database that is truncated", "package-database", |good, image| {
        good.put(image, "/var/lib/dpkg/status", b"Package: test\nStatus: install ok inst", "0100644");
    }),
    ("two ESPs", "esp-repeated", |_, image| {
        change_entries(image, &|entries| entries.copy_within(0..16, 128));
    }),
    ("a wrong root=", "root-option", |good, image| {
        let (name, entry) = good.entry(image);
        let guid = good.disk().partitions[2].guid.to_string();
        good.put_in_esp(
            image,
            &name,
            entry.replace(&guid, "00000000-0000-0000-0000-000000000001").as_bytes(),
        );
    }),
    ("no modules of the kernel's version", "kernel-modules", |good, image| {
        for command in [
            "rm /usr/lib/modules/6.1.0/modules.dep",
            "rm /usr/lib/modules/6.1.0/modules.builtin",
            "rmdir /usr/lib/modules/6.1.0",
        ] {
            good.debugfs(image, command);
        }
    }),
    ("modules without an index", "kernel-modules", |good, image| {
        good.debugfs(image, "rm /usr/lib/modules/6.1.0/modules.dep");
    }),
    ("an fstab that names a stranger", "fstab-device", |good, image| {
        good.put(image, "/etc/fstab", b"UUID=0 /srv ext4 defaults 0 2\n", "0100644");
    }),
    ("an option that no filesystem has", "fstab-options", |good, image| {
        good.put(image, "/etc/fstab", b"/dev/vda3 / ext4 defaults,no-such-option 0 1\n", "0100644");
    }),
    ("a filesystem mounted as another", "fstab-options", |good, image| {
        good.put(image, "/etc/fstab", b"/dev/vda1 /boot ext4 defaults 0 1\n", "0100644");
    }),
    ("a unit before what it is after", "unit-cycle", |good, image| {
        let unit = b"[Unit]\nBefore=sysinit.target\n[Service]\nExecStart=/bin/true\n";
        good.put(image, "/etc/systemd/system/early.service", unit, "0100644");
        good.put(image, "/etc/systemd/system/sysinit.target", b"[Unit]\nWants=early.service\n", "0100644");
        good.put(
            image,
            "/etc/systemd/system/basic.target",
            b"[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\n",
            "0100644",
        );
    }),
    ("a mount unit that names a stranger", "mount-unit", |good, image| {
        let unit = b"[Mount]\nWhat=/dev/disk/by-partuuid/0\nWhere=/srv\n";
        good.put(image, "/etc/systemd/system/srv.mount", unit, "0100644");
    }),
    ("a mount point that is not there", "mount-point", |good, image| {
        let unit = format!(
            "[Mount]\nWhat=/dev/disk/by-partuuid/{}\nWhere=/nowhere\n",
            good.disk().partitions[0].guid
        );
        good.put(image, "/etc/systemd/system/nowhere.mount", unit.as_bytes(), "0100644");
    }),
    ("a crypttab that names a stranger", "crypttab-device", |good, image| {
        good.put(image, "/etc/crypttab", b"data UUID=0 none luks\n", "0100644");
    }),
    ("a machine id", "machine-id", |good, image| {
        good.put(image, "/etc/machine-id", b"0123456789abcdef0123456789abcdef\n", "0100444");
    }),
    ("ssh host keys", "ssh-host-key", |good, image| {
        good.debugfs(image, "mkdir /etc/ssh");
        good.put(image, "/etc/ssh/ssh_host_ed25519_key", b"key", "0100600");
    }),
    ("a random seed", "random-seed", |good, image| {
        good.put(image, "/var/lib/systemd/random-seed", &[1; 512], "0100600");
    }),
    ("an empty root password", "root-password-empty", |good, image| {
        good.put(image, "/etc/shadow", b"root::19000:0:99999:7:::\n", "0100640");
    }),
    ("another root without a password", "root-password-empty", |good, image| {
        good.put(image, "/etc/passwd", b"root:x:0:0::/root:/bin/sh\ntoor::0:0::/root:/bin/sh\n", "0100644");
    }),
    ("a private key", "private-key", |good, image| {
        good.put(image, "/root/id", b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", "0100600");
    }),
    ("a file that everybody may change", "world-writable", |good, image| {
        good.debugfs(image, "set_inode_field /usr/bin/tool mode 0100777");
    }),
    ("a directory that everybody may change", "world-writable", |good, image| {
        good.debugfs(image, "set_inode_field /srv mode 040777");
    }),
    ("a path of the build host", "build-path", |good, image| {
        good.put(image, "/etc/issue", b"made in /home/builder/project/out\n", "0100644");
    }),
    ("downloaded packages", "package-cache", |good, image| {
        for directory in ["/var/cache", "/var/cache/apt", "/var/cache/apt/archives"] {
            good.debugfs(image, &format!("mkdir {directory}"));
        }
        good.put(image, "/var/cache/apt/archives/a_1_amd64.deb", b"x", "0100644");
    }),
];

fn labelled() -> serde_json::Value {
    let mut template = template("ext4", &[]);
    template["FilesystemTypes"][2]["label"] = "root".into();
    template
}

#[test]
fn every_kind_of_damage_is_found_by_its_rule() {
    let good = Good::new(&labelled(), |_| {});
    assert_eq!(verify(&good.image, &[]), [""; 0], "nothing is found in a good image");
    for (what, rule, damage) in DAMAGES {
        let found = good.damaged(&|good, image| damage(good, image));
        assert!(
            found.iter().any(|finding| finding.contains(&format!("[{rule}]"))),
            "{what}: expected {rule}, found {found:#?}"
        );
    }
    assert!(DAMAGES.len() >= 25);
}

#[test]
fn damage_of_other_filesystems_is_found() {
    for (kind, structures) in
        [("xfs", [8u64, 512 + 20, 1024 + 20]), ("btrfs", [65_536 + 100, 65_536 + 300, 65_536 + 0x20])]
    {
        let good = Good::new(&template(kind, &[]), |root| add_oddities(root, is_root()));
        assert_eq!(verify(&good.image, &[]), [""; 0], "{kind}");
        for at in structures {
            let found = good.damaged(&|good, image| flip(image, good.offset(3) + at));
            assert!(
                found.iter().any(|f| f.contains("[filesystem-") || f.contains("[plan-filesystem]")),
                "{kind}, byte {at}: {found:#?}"
            );
        }
    }
}

#[test]
fn luks_damage_is_found_and_a_locked_volume_is_a_note() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    install(&root);
    let mut template = template("ext4", &[("64M", "ext4", "/srv")]);
    template["FilesystemTypes"][3]["encryption"] =
        serde_json::json!({ "name": "data", "passphrase": { "env": "P" } });
    template["PartitionMountPoints"][2]["encryption"] = serde_json::json!({ "name": "data" });
    let plan = plan(&template, |_| {});
    let image =
        common::system::make_with(&plan, &root, directory.path(), &[("data", "open sesame")], Some("s"));
    assert_eq!(verify(&image, &["open sesame"]), [""; 0]);
    let locked = verify(&image, &["wrong"]);
    assert!(locked.len() == 1 && locked[0].starts_with("note[luks-locked]"), "{locked:#?}");
    let offset = plan.disks[0].offset(&plan.disks[0].partitions[3]).0;
    for at in [6, 300, 4096 + 40, 16_384 + 6] {
        flip(&image, offset + at);
        let found = verify(&image, &["open sesame"]);
        assert!(found.iter().any(|f| f.contains("[luks-header]")), "byte {at}: {found:#?}");
        flip(&image, offset + at);
    }
}

#[test]
fn grub_is_held_against_its_copies() {
    if common::tools_missing(&["grub-mkimage", "/usr/lib/grub/i386-pc/boot.img"]) {
        return;
    }
    let mut template = labelled();
    template["LegacyBios"] = true.into();
    for section in ["PartitionLayout", "FilesystemTypes", "PartitionMountPoints"] {
        template[section].as_array_mut().unwrap().remove(0);
    }
    let good = Good::new(&template, |_| {});
    assert_eq!(verify(&good.image, &[]), [""; 0]);
    for (what, at) in [
        ("boot code", 0x180u64),
        ("where the core is", 0x5c),
        ("the core's first sector", 34 * 512 + 4),
        ("its block list", 34 * 512 + 500),
        ("the core's middle", 34 * 512 + 9000),
    ] {
        let found = good.damaged(&|_, image| flip(image, at));
        assert!(found.iter().any(|f| f.contains("[grub-core]")), "{what}: {found:#?}");
    }
    let found = good.damaged(&|_, image| open(image).write_all_at(&[0; 440], 0).unwrap());
    assert!(found.iter().any(|f| f.contains("[boot-path]")), "{found:#?}");
    let found = good.damaged(&|good, image| good.debugfs(image, "rm /boot/vmlinuz-6.1.0"));
    assert!(found.iter().any(|f| f.contains("[entry-kernel]")), "{found:#?}");
    let found = good.damaged(&|good, image| good.debugfs(image, "rm /boot/grub/grub.cfg"));
    assert!(found.iter().any(|f| f.contains("[grub-configuration]")), "{found:#?}");
}

/// Every published format has the same bytes inside, and is read without being unpacked by hand.
#[test]
fn nothing_is_found_in_good_images_of_any_format() {
    if common::tools_missing(&["qemu-img", "xz", "zstd", "gzip"]) {
        return;
    }
    let good = Good::new(&labelled(), |_| {});
    let raw = good.image.to_str().unwrap().to_owned();
    let beside = |path: &str| std::fs::copy(format!("{raw}.plan.json"), format!("{path}.plan.json")).unwrap();
    let mut paths = Vec::new();
    for (format, options, ending) in [
        ("qcow2", "compat=1.1", "qcow2"),
        ("vpc", "subformat=fixed,force_size=on", "vhd"),
        ("vpc", "subformat=dynamic,force_size=on", "dynamic.vhd"),
        ("vhdx", "subformat=dynamic", "vhdx"),
        ("vmdk", "subformat=streamOptimized", "vmdk"),
        ("vdi", "static=off", "vdi"),
    ] {
        let path = format!("{raw}.{ending}");
        run("qemu-img", &["convert", "-f", "raw", "-O", format, "-o", options, &raw, &path]);
        paths.push(path);
    }
    for (program, ending) in [("xz", "xz"), ("zstd", "zst"), ("gzip", "gz")] {
        let path = format!("{raw}.{ending}");
        let arguments: &[&str] = if program == "xz" { &["-0", "-c"] } else { &["-1", "-c"] };
        let out = File::create(&path).unwrap();
        let status = Command::new(program).args(arguments).arg(&raw).stdout(out).status().unwrap();
        assert!(status.success());
        paths.push(path);
    }
    // Google's archive, and a compressed image of a format of its own.
    let inner = good.directory.path().join("disk.raw");
    std::fs::rename(&good.image, &inner).unwrap();
    let archive = format!("{raw}.tar.gz");
    run("tar", &["-C", good.directory.path().to_str().unwrap(), "-czf", &archive, "disk.raw"]);
    beside(&archive);
    let found = verify(Path::new(&archive), &[]);
    assert!(found.len() == 1 && found[0].contains("[gce-size]"), "whole GiB: {found:#?}");
    let packed = format!("{raw}.qcow2.zst");
    run("zstd", &["-q", "-1", &format!("{raw}.qcow2"), "-o", &packed]);
    paths.push(packed);
    for path in &paths {
        beside(path);
        assert_eq!(verify(Path::new(path), &[]), [""; 0], "{path}");
    }
    // A VHD whose size is no whole MiB.
    let short = good.directory.path().join("short.raw");
    run("cp", &["--sparse=always", inner.to_str().unwrap(), short.to_str().unwrap()]);
    open(&short).set_len(size(&short) + 512).unwrap();
    let vhd = good.directory.path().join("short.vhd");
    let options = "subformat=fixed,force_size=on";
    let (short, vhd_name) = (short.to_str().unwrap(), vhd.to_str().unwrap());
    run("qemu-img", &["convert", "-f", "raw", "-O", "vpc", "-o", options, short, vhd_name]);
    let found = verify(&vhd, &[]);
    assert!(found.iter().any(|finding| finding.contains("[vhd-size]")), "{found:#?}");
    // One whose cylinders, which some go by, are rounded.
    run("qemu-img", &["convert", "-f", "raw", "-O", "vpc", "-o", options, inner.to_str().unwrap(), vhd_name]);
    assert!(!verify(&vhd, &[]).iter().any(|finding| finding.contains("[vhd-size]")));
    let at = size(&vhd) - 512;
    let mut footer = [0; 512];
    open(&vhd).read_exact_at(&mut footer, at).unwrap();
    footer[28..32].copy_from_slice(b"vpc ");
    footer[56..60].copy_from_slice(&[0x04, 0, 16, 63]);
    footer[64..68].fill(0);
    let sum = !footer.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    footer[64..68].copy_from_slice(&sum.to_be_bytes());
    open(&vhd).write_all_at(&footer, at).unwrap();
    let found = verify(&vhd, &[]);
    assert!(found.iter().any(|finding| finding.contains("[vhd-size]")), "{found:#?}");
}

/// A format that has sectors of 512 bytes is believed, whatever its table was made for: other machines do so too.
#[test]
fn a_table_for_larger_sectors_is_damaged_where_the_format_has_none() {
    if common::tools_missing(&["qemu-img"]) {
        return;
    }
    let mut good = Good::new(&labelled(), |_| {});
    good.plan = plan(&labelled(), |inputs| inputs.sector_size = ister::plan::layout::SectorSize::B4096);
    let image = make(&good.plan, &good.directory.path().join("root"), good.directory.path());
    let raw = image.to_str().unwrap();
    assert_eq!(verify(&image, &[]), [""; 0]);
    for (format, ending, is_good) in [
        ("qcow2", "qcow2", true),
        ("vpc", "vhd", false),
        ("vhdx", "vhdx", false),
        ("vmdk", "vmdk", false),
        ("vdi", "vdi", false),
    ] {
        let path = format!("{raw}.{ending}");
        run("qemu-img", &["convert", "-f", "raw", "-O", format, raw, &path]);
        let found = verify(Path::new(&path), &[]);
        assert_eq!(found.is_empty(), is_good, "{ending}: {found:#?}");
        assert!(is_good || found.iter().any(|f| f.contains("[gpt-primary]")), "{ending}: {found:#?}");
    }
}

/// One function tells a name from the content, for `verify` and for `boot`.
#[test]
fn a_name_of_another_format_is_refused_by_all() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["disk.vhd", "disk.VHDX", "disk.qcow2", "disk.vmdk", "disk.vdi", "disk.raw.xz"] {
        let path = directory.path().join(name);
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        let mut said = format!("the file is called `{name}`, its content is raw");
        if name.ends_with(".xz") {
            // Packed, and a qcow2 inside.
            run("qemu-img", &["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "1M"]);
            let packed = Command::new("xz").arg("-c").arg(&path).output().unwrap().stdout;
            std::fs::write(&path, packed).unwrap();
            said = said.replace("content is raw", "content is qcow2");
        }
        let output = common::ister(&["boot", "--firmware", "bios"]).arg(&path).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&said), "{stderr}");
        let output = common::ister(&["verify", "-q"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("error[image-format]"), "{}", text(&output.stdout));
    }
}

/// What leads to other files of the host is not followed.
#[test]
fn an_image_that_refers_to_other_files_is_refused() {
    if common::tools_missing(&["qemu-img"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("secret"), vec![b'x'; 1 << 20]).unwrap();
    run(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", &path("secret"), &path("overlay.qcow2")],
    );
    std::fs::write(
        path("descriptor.vmdk"),
        format!("# Disk DescriptorFile\nversion=1\nRW 2048 FLAT \"{}\" 0\n", path("secret")),
    )
    .unwrap();
    for (name, said) in
        [("overlay.qcow2", "refers to another file"), ("descriptor.vmdk", "only a description")]
    {
        let output = common::ister(&["verify", &path(name), "-q"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "a fault of the image: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("error[published-file]"), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains(said), "{}", text(&output.stdout));
    }
}

/// Images that others make in their own ways.
#[test]
fn nothing_is_found_in_what_others_do_differently() {
    let good = Good::new(&labelled(), |_| {});
    let found = good.damaged(&|good, image| {
        // A kernel by another name, an entry with a loader's own variable, devices that are the machine's.
        run("mren", &["-i", &good.esp(image), "::/test/6.1.0/linux", "::/vmlinuz-linux"]);
        let (name, entry) = good.entry(image);
        let entry = entry
            .replace("/test/6.1.0/linux", "/vmlinuz-linux")
            .replace("initrd /", "initrd $tuned_initrd /");
        good.put_in_esp(image, &name, entry.as_bytes());
        good.put(
            image,
            "/etc/fstab",
            b"/dev/root / auto defaults 0 1\n/dev/mapper/vg-data /data ext4 nofail 0 2\n",
            "0100644",
        );
    });
    assert_eq!(found, [""; 0]);

    // A disk of data has no root, and none is missed.
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("data.img");
    run("cp", &["--sparse=always", good.image.to_str().unwrap(), image.to_str().unwrap()]);
    change_entries(&image, &|entries| {
        let linux = uuid::uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4").to_bytes_le();
        for entry in [0, 128, 256] {
            entries[entry..entry + 16].copy_from_slice(&linux);
        }
    });
    let device = format!("{}?offset={}", image.display(), good.offset(3));
    run(
        "mke2fs",
        &[
            "-q",
            "-F",
            "-t",
            "ext4",
            "-E",
            &format!("offset={}", good.offset(3)),
            image.to_str().unwrap(),
            "320M",
        ],
    );
    run("debugfs", &["-R", "ls", &device]);
    assert_eq!(verify(&image, &[]), [""; 0]);
}

/// The program itself: exit codes, formats, explanations.
#[test]
fn the_command_says_what_the_library_finds() {
    let good = Good::new(&labelled(), |_| {});
    let image = good.image.to_str().unwrap();
    let output = common::ister(&["verify", image]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let picture = good.directory.path().join("boot.svg");
    let output =
        common::ister(&["verify", image, "-q", "--explain-boot", "--boot-svg"]).arg(&picture).output();
    let said = text(&output.unwrap().stdout);
    assert!(said.starts_with("UEFI\n└─ systemd-boot 252  (partition 1: /EFI/BOOT/BOOTX64.EFI)\n"), "{said}");
    assert!(said.contains("├─ kernel 6.1.0  (partition 1: /test/6.1.0/linux)\n"), "{said}");
    assert!(std::fs::read_to_string(&picture).unwrap().contains(">kernel 6.1.0 "));
    let output =
        common::ister(&["verify", image, "-q", "--explain-boot", "--format", "json"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["boot_paths"]["paths"][0]["firmware"], "uefi");
    assert_eq!(found["boot_paths"]["kernels"][0]["image"][1]["version"], "6.1.0");
    assert!(text(&output.stdout).contains("good"), "{}", text(&output.stdout));
    flip(&good.image, 512 + 60);
    for (format, start) in [
        ("human", "error[gpt-primary]"),
        ("concise", ""),
        ("json", "{"),
        ("sarif", "{"),
        ("github", "::error"),
        ("junit", "<?xml"),
    ] {
        let output = common::ister(&["verify", image, "--format", format, "-q"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{format}");
        let said = text(&output.stdout);
        assert!(said.starts_with(start) && said.contains("gpt-primary"), "{format}: {said}");
    }
    let output = common::ister(&["explain", "gpt-primary"]).output().unwrap();
    assert!(text(&output.stdout).starts_with("# gpt-primary (error, `ister verify`)"));
    let output = common::ister(&["verify", "/no/such/image"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let output = common::ister(&["verify", image, "--unlock", "secret"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn two_images_are_compared_down_to_the_field() {
    let good = Good::new(&labelled(), |_| {});
    let copy = good.directory.path().join("copy.img");
    run("cp", &["--sparse=always", good.image.to_str().unwrap(), copy.to_str().unwrap()]);
    let diff = |code: i32| {
        let output = common::ister(&["diff", good.image.to_str().unwrap(), copy.to_str().unwrap(), "-q"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(diff(0), "the images are the same\n");
    good.debugfs(&copy, "set_inode_field /etc/passwd mtime @1600000000");
    good.put(&copy, "/etc/group", b"root:x:1:\n", "0100644");
    good.put_in_esp(&copy, "/loader/loader.conf", b"timeout 5\n");
    let said = diff(1);
    for part in [
        "partition 3 (`root`) > ext > /etc/passwd > modification time",
        "partition 3 (`root`) > ext > /etc/group > content",
        "partition 1 (`ESP`) > vfat > /loader/loader.conf > content",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // What changed comes before what always does.
    let place = |heading: &str| {
        said.find(&format!("== {heading} (")).unwrap_or_else(|| panic!("{heading} in {said}"))
    };
    assert!(place("boot") < place("files") && place("files") < place("times"), "{said}");
    // A file that names the root by another GUID is the same otherwise; the package is another one.
    change_entries(&copy, &|entries| entries[256 + 16] ^= 0xff);
    let (name, entry) = good.entry(&copy);
    let guid = good.disk().partitions[2].guid.to_string();
    let first = format!("{:02x}", u8::from_str_radix(&guid[6..8], 16).unwrap() ^ 0xff);
    let other = format!("{}{first}{}", &guid[..6], &guid[8..]);
    good.put_in_esp(&copy, &name, entry.replace(&guid, &other).as_bytes());
    let status = b"Package: test\nStatus: install ok installed\nVersion: 2\n\n";
    good.put(&copy, "/var/lib/dpkg/status", status, "0100644");
    let said = diff(1);
    assert!(said.starts_with("== packages (1)\ntest: 1 -> 2\n"), "{said}");
    let identifiers = said.find("== identifiers").unwrap();
    let content = said.find(&format!("{name} > content")).unwrap_or_else(|| panic!("{name} in {said}"));
    assert!(content > identifiers, "{said}");
    let page = common::ister(&[
        "diff",
        good.image.to_str().unwrap(),
        copy.to_str().unwrap(),
        "-q",
        "--format",
        "html",
    ]);
    let page = { page }.output().unwrap();
    assert!(text(&page.stdout).contains("<summary>packages (1)"), "{}", text(&page.stdout));
    change_entries(&copy, &|entries| entries[56] = b'X');
    let said = diff(1);
    assert!(said.contains("primary partition table > partition 1 > name"), "{said}");
}
