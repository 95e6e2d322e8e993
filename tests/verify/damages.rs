//! The kinds of damage to an intact image, each with the rule that must report it.

use super::{Good, change_entries, flip, open, run, size};
use ister::plan::layout::gpt;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(super) type Damage = (&'static str, &'static str, fn(&Good, &Path));

/// Description of the damage, the rule that must report it, and the function that damages the image.
pub(super) const DAMAGES: &[Damage] = &[
    ("a flipped byte in the primary header", "gpt-primary", |_, image| flip(image, 512 + 60)),
    ("a missing primary header", "gpt-primary", |_, image| open(image).write_all_at(&[0; 512], 512).unwrap()),
    ("a flipped byte in the backup header", "gpt-backup", |_, image| flip(image, size(image) - 512 + 33)),
    ("a padded image", "gpt-backup", |_, image| {
        open(image).set_len(size(image) + (1 << 20)).unwrap();
    }),
    ("a truncated image", "gpt-backup", |_, image| {
        open(image).set_len(size(image) - 512).unwrap();
    }),
    ("an ESP that was formatted for another position", "filesystem-place", |good, image| {
        open(image).write_all_at(&[63, 0, 0, 0], good.offset(1) + 28).unwrap();
    }),
    ("a flipped byte in the primary entries", "gpt-entries", |_, image| flip(image, 1024 + 40)),
    ("a flipped byte in the backup entries", "gpt-entries", |_, image| {
        flip(image, size(image) - 33 * 512 + 130)
    }),
    ("tables that differ", "gpt-copies", |_, image| {
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
    ("overlapping partitions", "gpt-bounds", |_, image| {
        change_entries(image, &|entries| {
            let first = u64::from_le_bytes(entries[256 + 32..256 + 40].try_into().unwrap());
            entries[256 + 32..256 + 40].copy_from_slice(&(first - 2048).to_le_bytes());
        });
    }),
    ("a partition past the end of the disk", "gpt-bounds", |_, image| {
        change_entries(image, &|entries| entries[256 + 46] = 1);
    }),
    ("a duplicate partition GUID", "gpt-guid", |_, image| {
        change_entries(image, &|entries| entries.copy_within(16..32, 128 + 16));
    }),
    ("a misaligned partition", "partition-alignment", |_, image| {
        change_entries(image, &|entries| entries[128 + 32] += 1);
    }),
    ("a missing protective MBR", "mbr-protective", |_, image| {
        open(image).write_all_at(&[0; 66], 446).unwrap()
    }),
    ("a disk GUID that differs from the plan", "plan-disk", |_, image| {
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
    ("a partition type that differs from the plan", "plan-partition", |_, image| {
        change_entries(image, &|entries| entries[256] ^= 1);
    }),
    ("a filesystem UUID that differs from the plan", "plan-filesystem", |good, image| {
        let device = format!("{}?offset={}", image.display(), good.offset(3));
        run("debugfs", &["-w", "-R", "set_super_value uuid 12345678-1234-1234-1234-123456789abc", &device]);
    }),
    ("a missing filesystem", "filesystem-missing", |good, image| {
        open(image).write_all_at(&[0; 65_536], good.offset(2)).unwrap();
    }),
    ("a flipped byte in the superblock of the root filesystem", "filesystem-damaged", |good, image| {
        flip(image, good.offset(3) + 1024 + 0x88);
    }),
    ("a flipped byte in a group descriptor", "filesystem-damaged", |good, image| {
        // Group descriptors are in the block after the superblock.
        let mut log = [0; 4];
        open(image).read_exact_at(&mut log, good.offset(3) + 1024 + 24).unwrap();
        let block = 1024 << u32::from_le_bytes(log);
        flip(image, good.offset(3) + if block == 1024 { 2048 } else { block } + 3);
    }),
    ("a flipped byte in a FAT", "filesystem-damaged", |good, image| {
        // The entry of cluster 2, after the reserved sectors.
        let file = open(image);
        let mut boot = [0; 512];
        file.read_exact_at(&mut boot, good.offset(1)).unwrap();
        let reserved = u64::from(u16::from_le_bytes([boot[14], boot[15]])) * 512;
        flip(image, good.offset(1) + reserved + 6);
    }),
    ("a duplicate filesystem UUID", "uuid-repeated", |good, image| {
        let uuid = good.disk().partitions[2].filesystem.as_ref().unwrap().uuid.clone().unwrap();
        let bytes = uuid::Uuid::parse_str(&uuid).unwrap();
        open(image).write_all_at(bytes.as_bytes(), good.offset(2) + 1036).unwrap();
    }),
    ("a duplicate label", "label-repeated", |good, image| {
        open(image).write_all_at(b"root", good.offset(2) + 1052).unwrap();
    }),
    ("a missing boot loader in the ESP", "esp-loader", |good, image| {
        run("mdel", &["-i", &good.esp(image), "::/EFI/BOOT/BOOTX64.EFI"]);
    }),
    ("a boot loader that is not a program", "esp-loader", |good, image| {
        good.put_in_esp(image, "/EFI/BOOT/BOOTX64.EFI", b"not a program");
    }),
    ("a missing loader entry", "entry-missing", |good, image| {
        run("mdeltree", &["-i", &good.esp(image), "::/loader/entries"]);
    }),
    ("a missing kernel", "entry-kernel", |good, image| {
        run("mdel", &["-i", &good.esp(image), "::/test/6.1.0/linux"]);
    }),
    ("a missing initramfs", "entry-initrd", |good, image| {
        run("mdel", &["-i", &good.esp(image), "::/test/6.1.0/initrd.img-6.1.0"]);
    }),
    ("an entry without an initramfs", "initrd-content", |good, image| {
        let (name, entry) = good.entry(image);
        let lines = entry.lines().filter(|line| !line.starts_with("initrd"));
        let text = lines.map(|line| format!("{line}\n")).collect::<String>();
        good.put_in_esp(image, &name, text.as_bytes());
    }),
    ("a kernel without an entry", "kernel-entry", |good, image| {
        good.put(image, "/boot/vmlinuz-6.2.0", b"kernel", "0100644");
        good.put(image, "/boot/initrd.img-6.2.0", b"archive", "0100644");
    }),
    ("an initramfs that was not copied to the ESP", "kernel-entry", |good, image| {
        good.put(image, "/boot/initrd.img-6.1.0", b"a newer archive", "0100644");
    }),
    ("a missing hook of kernel-install", "kernel-update", |good, image| {
        good.debugfs(image, "rm /etc/kernel/postrm.d/zz-systemd-boot");
    }),
    ("a hook that is not executable", "kernel-update", |good, image| {
        good.put(image, "/etc/kernel/postinst.d/initramfs-tools", b"#!/bin/sh\n", "0100644");
    }),
    ("a missing kernel-install", "kernel-update", |good, image| {
        good.debugfs(image, "rm /usr/bin/kernel-install")
    }),
    ("a layout of kernel-install without copies", "kernel-update", |good, image| {
        good.put(image, "/etc/kernel/install.conf", b"layout=other\n", "0100644");
    }),
    ("an ESP that is mounted only on demand by hand", "kernel-update", |good, image| {
        let lines = "# PARTUUID=x /efi vfat umask=0077 0 2\nPARTUUID=x /efi vfat noauto 0 2\n";
        good.put(image, "/etc/fstab", lines.as_bytes(), "0100644");
    }),
    ("other options for later kernels", "kernel-update", |good, image| {
        good.put(image, "/etc/kernel/cmdline", b"root=/dev/sda1 quiet\n", "0100644");
    }),
    ("a file that is not a kernel", "kernel-damaged", |good, image| {
        good.put_in_esp(image, "/test/6.1.0/linux", &[0; 5000]);
    }),
    ("a file that is not an initramfs", "initrd-damaged", |good, image| {
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
    ("a boot loader for another architecture", "esp-loader", |good, image| {
        let mut loader = good.copy_from_esp(image, "/EFI/BOOT/BOOTX64.EFI");
        loader[0x84..0x86].copy_from_slice(&[0x64, 0xaa]);
        good.put_in_esp(image, "/EFI/BOOT/BOOTX64.EFI", &loader);
    }),
    ("a missing device tree", "entry-devicetree", |good, image| {
        let (name, entry) = good.entry(image);
        good.put_in_esp(image, &name, format!("{entry}devicetree /board.dtb\n").as_bytes());
    }),
    ("a stop in the initramfs", "kernel-command-line", |good, image| good.add_option(image, "rd.break")),
    ("init= with a missing file", "kernel-command-line", |good, image| {
        good.add_option(image, "init=/sbin/nosuch")
    }),
    ("a command line that is too long for the kernel", "kernel-command-line", |good, image| {
        good.add_option(image, &"x".repeat(2048));
    }),
    ("a second entry", "boot-entries", |good, image| {
        let (_, entry) = good.entry(image);
        good.put_in_esp(image, "/loader/entries/zzz.conf", entry.replace("version ", "version 0").as_bytes());
    }),
    ("a wrong rootfstype=", "kernel-command-line", |good, image| good.add_option(image, "rootfstype=xfs")),
    ("a missing init", "init-program", |good, image| good.debugfs(image, "rm /usr/sbin/init")),
    ("an init that is not executable", "init-program", |good, image| {
        good.debugfs(image, "set_inode_field /usr/sbin/init mode 0100644");
    }),
    ("an init that is a dangling link", "init-program", |good, image| {
        good.debugfs(image, "rm /usr/sbin/init");
        good.debugfs(image, "symlink /usr/sbin/init /usr/lib/nosuch");
    }),
    ("an empty init", "init-program", |good, image| good.put(image, "/usr/sbin/init", b"", "0100755")),
    ("an init with a missing interpreter", "init-program", |good, image| {
        good.put(image, "/usr/sbin/init", b"#!/usr/bin/nosuch\n", "0100755");
    }),
    ("a missing root account", "accounts", |good, image| {
        good.put(image, "/etc/passwd", b"ada:x:1000:1000::/home/ada:/bin/sh\n", "0100644");
    }),
    ("a missing default target", "default-target", |good, image| {
        good.debugfs(
            image,
            "symlink /etc/systemd/system/default.target /usr/lib/systemd/system/nosuch.target",
        );
    }),
    ("a missing target that the default one requires", "default-target", |good, image| {
        good.put(image, "/etc/systemd/system/default.target", b"[Unit]\nRequires=web.target\n", "0100644");
    }),
    ("a masked getty", "getty", |good, image| {
        good.debugfs(image, "symlink /etc/systemd/system/serial-getty@ttyS0.service /dev/null");
    }),
    ("a missing getty.target", "getty", |good, image| {
        good.debugfs(image, "rm /usr/lib/systemd/system/getty.target");
    }),
    ("an enabled unit that does not exist", "unit-missing", |good, image| {
        good.debugfs(image, "mkdir /etc/systemd/system/basic.target.wants");
        good.debugfs(
            image,
            "symlink /etc/systemd/system/basic.target.wants/a.service /usr/lib/systemd/system/a.service",
        );
    }),
    ("a truncated package database", "package-database", |good, image| {
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
    ("missing modules for the kernel version", "kernel-modules", |good, image| {
        for command in [
            "rm /usr/lib/modules/6.1.0/modules.dep",
            "rm /usr/lib/modules/6.1.0/modules.builtin",
            "rmdir /usr/lib/modules/6.1.0",
        ] {
            good.debugfs(image, command);
        }
    }),
    ("a missing module index", "kernel-modules", |good, image| {
        good.debugfs(image, "rm /usr/lib/modules/6.1.0/modules.dep");
    }),
    ("a root filesystem that stays read-only", "root-read-only", |good, image| {
        good.add_option(image, "ro");
    }),
    ("fstab with an unknown device", "fstab-device", |good, image| {
        good.put(image, "/etc/fstab", b"UUID=0 /srv ext4 defaults 0 2\n", "0100644");
    }),
    ("fstab with an unknown mount option", "fstab-options", |good, image| {
        good.put(image, "/etc/fstab", b"/dev/vda3 / ext4 defaults,no-such-option 0 1\n", "0100644");
    }),
    ("fstab with a wrong filesystem type", "fstab-options", |good, image| {
        good.put(image, "/etc/fstab", b"/dev/vda1 /boot ext4 defaults 0 1\n", "0100644");
    }),
    ("an ordering cycle", "unit-cycle", |good, image| {
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
    ("a mount unit with an unknown device", "mount-unit", |good, image| {
        let unit = b"[Mount]\nWhat=/dev/disk/by-partuuid/0\nWhere=/srv\n";
        good.put(image, "/etc/systemd/system/srv.mount", unit, "0100644");
    }),
    ("a missing mount point", "mount-point", |good, image| {
        let unit = format!(
            "[Mount]\nWhat=/dev/disk/by-partuuid/{}\nWhere=/nowhere\n",
            good.disk().partitions[0].guid
        );
        good.put(image, "/etc/systemd/system/nowhere.mount", unit.as_bytes(), "0100644");
    }),
    ("crypttab with an unknown device", "crypttab-device", |good, image| {
        good.put(image, "/etc/crypttab", b"data UUID=0 none luks\n", "0100644");
    }),
    ("a machine ID", "machine-id", |good, image| {
        good.put(image, "/etc/machine-id", b"0123456789abcdef0123456789abcdef\n", "0100444");
    }),
    ("SSH host keys", "ssh-host-key", |good, image| {
        good.debugfs(image, "mkdir /etc/ssh");
        good.put(image, "/etc/ssh/ssh_host_ed25519_key", b"key", "0100600");
    }),
    ("a random seed", "random-seed", |good, image| {
        good.put(image, "/var/lib/systemd/random-seed", &[1; 512], "0100600");
    }),
    ("an empty root password", "root-password-empty", |good, image| {
        good.put(image, "/etc/shadow", b"root::19000:0:99999:7:::\n", "0100640");
    }),
    ("a second account with UID 0 and no password", "root-password-empty", |good, image| {
        good.put(image, "/etc/passwd", b"root:x:0:0::/root:/bin/sh\ntoor::0:0::/root:/bin/sh\n", "0100644");
    }),
    ("a private key", "private-key", |good, image| {
        good.put(image, "/root/id", b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", "0100600");
    }),
    ("a world-writable file", "world-writable", |good, image| {
        good.debugfs(image, "set_inode_field /usr/bin/tool mode 0100777");
    }),
    ("a world-writable directory", "world-writable", |good, image| {
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
