//! Creates a small installed system and images of it, with everything that planning and verification examine, without
//! network access.

use ister::content::Tree;
use ister::host::Event;
use ister::image::{Assembly, assemble, finish_loader, install_loader};
use ister::plan::bundle;
use ister::plan::{Inputs, Plan, decide};
use ister::template::{SourceText, parse};
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

pub const EPOCH: u64 = 1_700_000_000;

/// Returns a template with an ESP, swap, a root partition with this filesystem type, and further partitions from number
/// 4 on: size, filesystem type, mount point.
pub fn template(root: &str, more: &[(&str, &str, &str)]) -> serde_json::Value {
    let entry = |number: usize, key: &str, value: &str| serde_json::json!({ "disk": "test.img", "partition": number, key: value });
    let mut layout = vec![
        serde_json::json!({ "disk": "test.img", "partition": 1, "size": "128M", "type": "EFI" }),
        serde_json::json!({ "disk": "test.img", "partition": 2, "size": "4M", "type": "swap" }),
        serde_json::json!({ "disk": "test.img", "partition": 3, "size": "320M", "type": "linux" }),
    ];
    let mut filesystems = vec![entry(1, "type", "vfat"), entry(2, "type", "swap"), entry(3, "type", root)];
    let mut mounts = vec![entry(1, "mount", "/boot"), entry(3, "mount", "/")];
    for (index, (size, kind, mount)) in more.iter().enumerate() {
        let number = index + 4;
        layout.push(
            serde_json::json!({ "disk": "test.img", "partition": number, "size": size, "type": "linux" }),
        );
        filesystems.push(entry(number, "type", kind));
        mounts.push(entry(number, "mount", mount));
    }
    serde_json::json!({
        "DestinationType": "virtual",
        "PartitionLayout": layout,
        "FilesystemTypes": filesystems,
        "PartitionMountPoints": mounts,
        "SoftwareManager": "apt",
        "Version": "bookworm",
        "Bundles": ["kernel-kvm", "bootloader", "os-core"],
    })
}

pub fn plan(template: &serde_json::Value, change: impl FnOnce(&mut Inputs)) -> Plan {
    let source = SourceText::new("test.json", template.to_string());
    let (parsed, node, faults) = parse(&source);
    assert_eq!(faults, []);
    let definitions = bundle::builtin();
    let mut inputs = Inputs::new(&definitions);
    change(&mut inputs);
    decide(&parsed, &node, &inputs).unwrap().0
}

/// A kernel image with the length in its header and a part that looks compressed. Source: Linux,
/// Documentation/arch/x86/boot.rst.
fn kernel() -> Vec<u8> {
    let mut kernel = vec![7; 300_032];
    kernel[0x1f1] = 4;
    kernel[0x1f4..0x1f8].copy_from_slice(&((300_032 - 5 * 512) / 16_u32).to_le_bytes());
    kernel[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    kernel[0x20e..0x210].copy_from_slice(&0x3000u16.to_le_bytes());
    kernel[0x248..0x24c].copy_from_slice(&0x100_u32.to_le_bytes());
    kernel[0x24c..0x250].copy_from_slice(&100_000_u32.to_le_bytes());
    kernel[5 * 512 + 0x100..5 * 512 + 0x104].copy_from_slice(b"\x28\xb5\x2f\xfd");
    kernel[0x3200..0x3200 + 14].copy_from_slice(b"6.1.0 (tester)");
    // The header of a 64-bit EFI program.
    kernel[..2].copy_from_slice(b"MZ");
    kernel[0x3c..0x40].copy_from_slice(&[0x40, 0, 0, 0]);
    kernel[0x40..0x58].fill(0);
    kernel[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
    kernel[0x236] = 1;
    kernel
}

/// An EFI program with the section that identifies systemd-boot. Source: Microsoft, PE Format.
pub fn loader() -> Vec<u8> {
    let mut loader = vec![3; 100_000];
    loader[..0x200].fill(0);
    loader[..2].copy_from_slice(b"MZ");
    loader[0x3c] = 0x80;
    loader[0x80..0x88].copy_from_slice(b"PE\0\0\x64\x86\x01\0");
    let magic = b"#### LoaderInfo: systemd-boot 252 ####";
    let section = &mut loader[0x98..0xc0];
    section[..8].copy_from_slice(b".sdmagic");
    section[8..12].copy_from_slice(&(magic.len() as u32).to_le_bytes());
    section[16..20].copy_from_slice(&0x200_u32.to_le_bytes());
    section[20..24].copy_from_slice(&0x400_u32.to_le_bytes());
    loader[0x400..0x400 + magic.len()].copy_from_slice(magic);
    loader
}

/// A cpio archive with an empty init and incompressible data. Source: Linux, buffer-format.rst.
fn initramfs() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, size) in [("init", 0), ("data", 200_000), ("TRAILER!!!", 0)] {
        let fields = [1, 0o100_755, 0, 0, 1, 0, size, 0, 0, 0, 0, name.len() + 1, 0];
        bytes.extend(b"070701");
        bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.resize((bytes.len() + size).next_multiple_of(4), 5);
    }
    bytes
}

/// An ELF program for x86-64 with one segment. Source: System V ABI.
fn program() -> Vec<u8> {
    let mut bytes = vec![0; 256];
    bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    for (at, number) in [(16, 2_u16), (18, 62), (52, 64), (54, 56), (56, 1), (58, 64)] {
        bytes[at..at + 2].copy_from_slice(&number.to_le_bytes());
    }
    bytes[20] = 1;
    bytes[32] = 64;
    bytes[64] = 1;
    bytes[96] = 255;
    bytes
}

/// Creates the files that every system has.
pub fn install(root: &Path) {
    let at = |path: &str| root.join(path);
    for directory in [
        "boot",
        "dev",
        "etc/kernel/postinst.d",
        "etc/kernel/postrm.d",
        "etc/systemd/system",
        "home",
        "proc",
        "root",
        "run",
        "srv",
        "sys",
        "tmp",
        "usr/bin",
        "usr/sbin",
        "usr/lib/modules/6.1.0",
        "usr/lib/systemd/boot/efi",
        "usr/lib/systemd/system",
        "usr/lib/systemd/system-generators",
        "var/lib/dpkg/info",
        "var/lib/systemd",
        "var/log",
        "mnt",
    ] {
        std::fs::create_dir_all(at(directory)).unwrap();
    }
    std::fs::set_permissions(at("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    for name in ["bin", "lib", "sbin"] {
        symlink(format!("usr/{name}"), at(name)).unwrap();
    }
    let (kernel, loader, initramfs, init) = (kernel(), loader(), initramfs(), program());
    for (path, bytes) in [
        ("boot/vmlinuz-6.1.0", kernel.as_slice()),
        ("boot/initrd.img-6.1.0", &initramfs),
        ("usr/lib/systemd/boot/efi/systemd-bootx64.efi", &loader),
        ("usr/lib/modules/6.1.0/modules.dep", b"kernel/a.ko:\n"),
        ("usr/lib/modules/6.1.0/modules.builtin", b""),
        ("etc/os-release", b"ID=test\nPRETTY_NAME=\"Test 1\"\n"),
        ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/shadow", b"root:*:19000:0:99999:7:::\n"),
        ("etc/group", b"root:x:0:\n"),
        ("etc/machine-id", b""),
        ("usr/bin/tool", b"#!/bin/sh\n"),
        ("usr/sbin/init", &init),
        ("usr/bin/sh", &init),
        ("usr/bin/dpkg", &init),
        ("usr/lib/systemd/systemd", &init),
        ("usr/lib/systemd/system/default.target", b"[Unit]\n"),
        ("usr/lib/systemd/system/getty.target", b"[Unit]\n"),
        ("usr/lib/systemd/system-generators/systemd-getty-generator", &init),
        ("usr/lib/systemd/system/serial-getty@.service", b"[Service]\n"),
        ("usr/bin/kernel-install", b"#!/bin/sh\n"),
        ("usr/sbin/grub-mkconfig", b"#!/bin/sh\n"),
        ("usr/sbin/update-initramfs", b"#!/bin/sh\n"),
        ("etc/kernel/postinst.d/initramfs-tools", b"#!/bin/sh\n"),
        ("etc/kernel/postinst.d/zz-systemd-boot", b"#!/bin/sh\n"),
        ("etc/kernel/postinst.d/zz-update-grub", b"#!/bin/sh\n"),
        ("etc/kernel/postrm.d/zz-systemd-boot", b"#!/bin/sh\n"),
        ("etc/kernel/postrm.d/zz-update-grub", b"#!/bin/sh\n"),
        ("var/lib/dpkg/info/linux-image-6.1.0.list", b"/boot/vmlinuz-6.1.0\n"),
        ("var/lib/dpkg/status", b"Package: test\nStatus: install ok installed\nVersion: 1\n\n"),
    ] {
        std::fs::write(at(path), bytes).unwrap();
    }
    let programs = ["usr/sbin/init", "usr/bin/sh", "usr/bin/dpkg", "usr/lib/systemd/systemd"];
    let of_updates = [
        "usr/bin/kernel-install",
        "usr/sbin/grub-mkconfig",
        "usr/sbin/update-initramfs",
        "etc/kernel/postinst.d/initramfs-tools",
        "etc/kernel/postinst.d/zz-systemd-boot",
        "etc/kernel/postinst.d/zz-update-grub",
        "etc/kernel/postrm.d/zz-systemd-boot",
        "etc/kernel/postrm.d/zz-update-grub",
    ];
    for program in programs.into_iter().chain(of_updates) {
        std::fs::set_permissions(at(program), PermissionsExt::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(at("etc/shadow"), PermissionsExt::from_mode(0o640)).unwrap();
}

/// Writes the planned files, the loader and the complete image, as a build does inside its namespace.
pub fn make(plan: &Plan, root: &Path, directory: &Path) -> PathBuf {
    make_with(plan, root, directory, &[], None)
}

pub fn make_with(
    plan: &Plan,
    root: &Path,
    directory: &Path,
    passphrases: &[(&str, &str)],
    seed: Option<&str>,
) -> PathBuf {
    let tree = Tree::open(root).unwrap();
    ister::image::customize::write_files(&tree, &plan.system).unwrap();
    let kernels = install_loader(plan, &tree).unwrap();
    finish_loader(plan, &tree, &kernels).unwrap();
    let workspace = tempfile::tempdir_in(directory).unwrap();
    let path = directory.join(plan.image().unwrap());
    let image = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
    let passphrases = passphrases.iter().map(|(name, text)| ((*name).to_owned(), (*text).into())).collect();
    let assembly = Assembly {
        plan,
        tree: root,
        workspace: workspace.path(),
        disks: std::slice::from_ref(&image),
        epoch: EPOCH,
        passphrases: &passphrases,
        seed,
    };
    assemble(&assembly, &|_: Event| {}).unwrap_or_else(|failure| panic!("{failure}"));
    let text = serde_json::to_string_pretty(plan).unwrap();
    std::fs::write(format!("{}.plan.json", path.display()), text).unwrap();
    path
}

/// Creates every type of entry that a filesystem supports; those that require root only if `is_root` is set.
pub fn add_special_files(root: &Path, is_root: bool) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let odd = root.join("odd");
    std::fs::create_dir_all(odd.join("many")).unwrap();
    for number in 0..300 {
        std::fs::write(odd.join(format!("many/file-{number:04}")), format!("{number}")).unwrap();
    }
    std::fs::write(odd.join("n".repeat(255)), "long name").unwrap();
    std::fs::write(odd.join(OsStr::from_bytes(b"not-utf8-\xff\xfe")), "bytes").unwrap();
    std::fs::write(odd.join("two words"), "space").unwrap();
    std::fs::write(odd.join("set-user-id"), "x").unwrap();
    std::fs::set_permissions(odd.join("set-user-id"), PermissionsExt::from_mode(0o4755)).unwrap();
    std::fs::hard_link(odd.join("two words"), odd.join("a hard link")).unwrap();
    symlink("two words", odd.join("short link")).unwrap();
    symlink("t".repeat(200), odd.join("long link")).unwrap();
    let sparse = File::create(odd.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    for at in [0, 20 << 20, 40 << 20] {
        sparse.write_all_at(&[9; 5000], at).unwrap();
    }
    std::fs::write(odd.join("large"), vec![1; 3 << 20]).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        odd.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o620),
        0,
    )
    .unwrap();
    let set = |name: &str, value: &[u8]| {
        rustix::fs::lsetxattr(odd.join("large"), name, value, rustix::fs::XattrFlags::empty())
    };
    if is_root {
        rustix::fs::mknodat(
            rustix::fs::CWD,
            odd.join("device"),
            rustix::fs::FileType::CharacterDevice,
            rustix::fs::Mode::from_raw_mode(0o600),
            rustix::fs::makedev(10, 229),
        )
        .unwrap();
        std::os::unix::fs::chown(odd.join("two words"), Some(1234), Some(70_000)).unwrap();
        // cap_net_raw+ep, revision 2. Source: capabilities(7), "File capability extended attribute versioning".
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set("security.capability", &capability).unwrap();
        set("trusted.test", b"value").unwrap();
        let file = odd.join("set-user-id");
        // user:1234:rw, as written by setfacl. Source: Linux, include/uapi/linux/posix_acl_xattr.h.
        let mut acl = vec![2, 0, 0, 0];
        for (tag, permissions, id) in
            [(1u16, 7u16, u32::MAX), (2, 6, 1234), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 5, u32::MAX)]
        {
            acl.extend(tag.to_le_bytes());
            acl.extend(permissions.to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
        rustix::fs::lsetxattr(&file, "system.posix_acl_access", &acl, rustix::fs::XattrFlags::empty())
            .unwrap();
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
