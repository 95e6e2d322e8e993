//! Verification of published files that are not disks, made by other programs: no findings in good files, and the
//! expected rule for each kind of damage.

use crate::common::system::{install, loader};
use crate::common::{ister, need_tools, text};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

#[track_caller]
fn run(program: &str, args: &[&str], directory: &Path) {
    let output = Command::new(program)
        .args(args)
        .current_dir(directory)
        .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// Returns the rules and messages of all findings.
#[track_caller]
fn found(file: &Path) -> Vec<String> {
    let output = ister(&["verify", "-q", "--format", "json"]).arg(file).output().unwrap();
    let verified: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}: {}", file.display(), text(&output.stderr)));
    let findings = verified["findings"].as_array().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!findings.is_empty())), "{}", text(&output.stderr));
    let words = |finding: &Value| {
        format!("{}: {}", finding["rule"].as_str().unwrap(), finding["message"].as_str().unwrap())
    };
    findings.iter().map(words).collect()
}

/// A bootable root tree.
fn system(directory: &Path) -> PathBuf {
    let root = directory.join("root");
    std::fs::create_dir(&root).unwrap();
    install(&root);
    symlink("sbin/init", root.join("init")).unwrap();
    root
}

fn root_trees_are_verified() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let root = system(directory.path());
    let pack = |name: &str, how: &str| {
        run("tar", &["--owner=0", "--group=0", how, &format!("../{name}"), "."], &root);
        found(&at(name))
    };
    assert_eq!(pack("tree.tar", "-cf"), [""; 0]);
    assert_eq!(pack("tree.tar.xz", "-cJf"), [""; 0]);
    std::fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::write(root.join("usr/bin/open"), "").unwrap();
    std::fs::set_permissions(root.join("usr/bin/open"), PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::remove_file(root.join("usr/bin/sh")).unwrap();
    assert_eq!(
        pack("bad.tar.gz", "-czf"),
        [
            "machine-id: the image contains a machine ID",
            "medium-tree: the root tree has no shell",
            "world-writable: world-writable (mode 0777)"
        ]
    );
    // Truncated in a file.
    let whole = std::fs::read(at("tree.tar")).unwrap();
    std::fs::write(at("cut.tar"), &whole[..whole.len() / 2]).unwrap();
    let printed = found(&at("cut.tar"));
    assert!(
        printed.len() == 1
            && printed[0].starts_with("medium-tree: the root tree cannot be read: the archive is truncated"),
        "{printed:?}"
    );
    // A tar that is not a published format.
    std::fs::write(at("letter"), "dear all").unwrap();
    run("tar", &["-cf", "other.tar", "letter"], directory.path());
    let output = ister(&["verify"]).arg(at("other.tar")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout)
            .contains("contains neither a disk (`disk.raw`, `*.vmdk`, `box.img`) nor a root tree"),
        "{}",
        text(&output.stderr)
    );
}

/// Truncated downloads of published disks.
fn truncated_disks_are_detected() {
    need_tools(&["qemu-img", "xz", "zstd"]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    // An empty disk has other findings but is not damaged. A fixed VHD without its footer is detected as a raw image
    // with the wrong file name.
    let is_damaged = |name: &str| {
        let rules = ["published-file: ", "image-format: "];
        found(&at(name)).iter().any(|line| rules.iter().any(|rule| line.starts_with(rule)))
    };
    run("sh", &["-ec", "head -c 20M /dev/urandom >disk.raw; truncate -s 64M disk.raw"], directory.path());
    for (name, how) in [
        ("disk.qcow2", "qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2"),
        (
            "packed.qcow2",
            "qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd disk.raw packed.qcow2",
        ),
        ("disk.vhdx", "qemu-img convert -f raw -O vhdx disk.raw disk.vhdx"),
        ("disk.vmdk", "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.raw disk.vmdk"),
        ("disk.vdi", "qemu-img convert -f raw -O vdi disk.raw disk.vdi"),
        ("fixed.vhd", "qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on disk.raw fixed.vhd"),
        ("dynamic.vhd", "qemu-img convert -f raw -O vpc -o subformat=dynamic disk.raw dynamic.vhd"),
        ("disk.img.gz", "gzip -1 -c disk.raw >disk.img.gz"),
        ("disk.img.zst", "zstd -q -1 -c disk.raw >disk.img.zst"),
        ("disk.img.xz", "xz -0 -k -c disk.raw >disk.img.xz"),
        ("disk.tar.gz", "tar -czf disk.tar.gz disk.raw"),
        ("plain.tar", "tar -cf plain.tar disk.raw"),
        ("sparse.tar", "tar --format=gnu -Scf sparse.tar disk.raw"),
    ] {
        run("sh", &["-ec", how], directory.path());
        assert!(!is_damaged(name), "{name}");
        let file = File::options().write(true).open(at(name)).unwrap();
        if name.ends_with(".qcow2") {
            // `qemu-img check` does not detect that less than a cluster is missing.
            let whole = file.metadata().unwrap().len();
            file.set_len(whole - 511).unwrap();
            assert!(is_damaged(name), "{name}");
            file.set_len(whole).unwrap();
        }
        file.set_len(file.metadata().unwrap().len() / 3 * 2).unwrap();
        assert!(is_damaged(name), "{name}");
        // Verification against a template reports the damage too.
        let output = ister(&["verify", "-t", "vm-tests/kvm/template.json"]).arg(at(name)).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {}", text(&output.stderr));
        file.set_len(0).unwrap();
        assert!(is_damaged(name), "{name}: empty file");
    }
}

fn network_boot_archives_are_verified() {
    need_tools(&["cpio", "zstd", "xz"]);
    let directory = tempfile::tempdir().unwrap();
    let root = system(directory.path());
    let parts = directory.path().join("parts");
    std::fs::create_dir_all(parts.join("pxelinux.cfg")).unwrap();
    std::fs::write(
        parts.join("pxelinux.cfg/default"),
        "LABEL linux\n  KERNEL vmlinuz\n  INITRD initrd\n  APPEND console=ttyS0\n",
    )
    .unwrap();
    let kernel = root.join("boot/vmlinuz-6.1.0");
    std::fs::copy(&kernel, parts.join("vmlinuz")).unwrap();
    let initrd = |root: &Path| {
        let script = "find . | cpio -o -H newc -R 0:0 --quiet | zstd -q -1 -f -o ../parts/initrd";
        run("sh", &["-ec", script], root);
    };
    let pack = || {
        let path = directory.path().join("t.pxe.tar.xz");
        run("tar", &["-cJf", "../t.pxe.tar.xz", "pxelinux.cfg/default", "vmlinuz", "initrd"], &parts);
        found(&path)
    };
    initrd(&root);
    assert_eq!(pack(), [""; 0]);
    std::fs::write(parts.join("vmlinuz"), vec![0; 4096]).unwrap();
    assert_eq!(pack(), ["medium-kernel: the kernel has no boot header (`HdrS`)"]);
    std::fs::copy(&kernel, parts.join("vmlinuz")).unwrap();
    std::fs::remove_file(root.join("init")).unwrap();
    std::fs::create_dir(root.join("etc/ssh")).unwrap();
    std::fs::write(root.join("etc/ssh/ssh_host_rsa_key"), "").unwrap();
    initrd(&root);
    assert_eq!(
        pack(),
        ["medium-tree: the initramfs has no /init", "ssh-host-key: the image contains an SSH host key"]
    );
    // The archive in the initramfs is truncated.
    let script = "find . | cpio -o -H newc --quiet | head -c 100000 | zstd -q -1 -f -o ../parts/initrd";
    run("sh", &["-ec", script], &root);
    let printed = pack();
    assert!(
        printed.len() == 1 && printed[0].starts_with("medium-tree: the root tree cannot be read"),
        "{printed:?}"
    );
    std::fs::write(parts.join("initrd"), "no archive at all").unwrap();
    let printed = pack();
    assert!(printed[0].starts_with("medium-kernel: the initramfs is neither"), "{printed:?}");
}

fn cds_are_verified() {
    need_tools(&["xorriso", "mksquashfs", "mkfs.vfat", "mcopy"]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let root = system(directory.path());
    std::fs::create_dir_all(at("cd/live")).unwrap();
    std::fs::create_dir_all(at("cd/boot/grub")).unwrap();
    std::fs::copy(root.join("boot/vmlinuz-6.1.0"), at("cd/live/vmlinuz")).unwrap();
    std::fs::copy(root.join("boot/initrd.img-6.1.0"), at("cd/live/initrd")).unwrap();
    let menu = "menuentry live {\n\tlinux /live/vmlinuz boot=live\n\tinitrd /live/initrd\n}\n";
    std::fs::write(at("cd/boot/grub/grub.cfg"), menu).unwrap();
    std::fs::write(at("cd/boot/grub/core.img"), [b"GRUB", &[7; 4092][..]].concat()).unwrap();
    std::fs::write(at("loader.efi"), loader()).unwrap();
    // ISO images made by ister contain this file.
    std::fs::create_dir_all(at("cd/.disk")).unwrap();
    let mark = at("cd/.disk/12345678-1234-1234-1234-123456789abc");
    std::fs::write(&mark, "").unwrap();
    run(
        "mksquashfs",
        &["root", "cd/live/filesystem.squashfs", "-all-root", "-quiet", "-no-progress", "-noappend"],
        directory.path(),
    );
    let esp = || {
        File::create(at("esp.img")).unwrap().set_len(2 << 20).unwrap();
        run("mkfs.vfat", &["esp.img"], directory.path());
        run("mmd", &["-i", "esp.img", "::/EFI", "::/EFI/BOOT"], directory.path());
    };
    esp();
    run("mcopy", &["-i", "esp.img", "loader.efi", "::/EFI/BOOT/BOOTX64.EFI"], directory.path());
    let bios: &[&str] =
        &["-b", "boot/grub/core.img", "-c", "boot/boot.cat", "-no-emul-boot", "-boot-load-size", "4"];
    let uefi: &[&str] =
        &["-eltorito-alt-boot", "-e", "--interval:appended_partition_2:all::", "-no-emul-boot"];
    let burn_only = |starts: &[&[&str]]| {
        let mut args = vec!["-no_rc", "-as", "mkisofs", "-quiet", "-o", "t.iso", "-r"];
        args.extend(["-append_partition", "2", "0xef", "esp.img"]);
        args.extend(starts.iter().copied().flatten());
        args.push("cd");
        run("xorriso", &args, directory.path());
    };
    let burn = |starts: &[&[&str]]| {
        burn_only(starts);
        found(&at("t.iso"))
    };
    assert_eq!(burn(&[bios, uefi]), [""; 0]);
    let whole = std::fs::read(at("t.iso")).unwrap();
    for quarters in 1..4 {
        std::fs::write(at("cut.iso"), &whole[..whole.len() / 4 * quarters]).unwrap();
        assert_ne!(found(&at("cut.iso")), [""; 0], "truncated to {quarters} quarters");
    }
    assert_eq!(burn(&[bios]), ["cd-start: the boot catalog has no image for UEFI"]);
    assert_eq!(burn(&[&uefi[1..]]), ["cd-start: the boot catalog has no image for BIOS"]);
    esp();
    assert_eq!(
        burn(&[bios, uefi]),
        ["cd-start: the boot image for UEFI is damaged: /EFI/BOOT/BOOTX64.EFI is missing"]
    );
    // CDs made by other programs may support only one firmware type. For them, the verifier follows the boot loader.
    std::fs::remove_file(&mark).unwrap();
    let judged = || {
        let output = ister(&["verify", "-q", "--format", "concise"]).arg(at("t.iso")).output().unwrap();
        (output.status.code(), text(&output.stdout))
    };
    let of_others = |starts: &[&[&str]]| {
        burn_only(starts);
        judged()
    };
    let (code, printed) = of_others(&[bios]);
    assert!(
        code == Some(0) && printed.contains("note[cd-start] the boot catalog has no image for UEFI"),
        "{printed}"
    );
    // The firmware loads the number of sectors in the catalog. Source: El Torito 1.0, figure 3.
    let iso = File::options().read(true).write(true).open(at("t.iso")).unwrap();
    let mut place = [0; 4];
    iso.read_exact_at(&mut place, 17 * 2048 + 0x47).unwrap();
    iso.write_all_at(&[0, 0], u64::from(u32::from_le_bytes(place)) * 2048 + 32 + 6).unwrap();
    let (code, printed) = judged();
    assert!(code == Some(1) && printed.contains("has a load size of 0"), "{printed}");
    std::fs::write(at("cd/boot/grub/grub.cfg"), menu.replace("vmlinuz", "missing")).unwrap();
    let (code, printed) = of_others(&[bios]);
    assert!(code == Some(1) && printed.contains("missing file /live/missing (`linux`)"), "{printed}");
    std::fs::write(at("cd/boot/grub/grub.cfg"), menu).unwrap();
    std::fs::write(&mark, "").unwrap();
    std::fs::remove_file(at("cd/live/initrd")).unwrap();
    std::fs::write(at("cd/live/filesystem.squashfs"), vec![1; 8192]).unwrap();
    let printed = burn(&[bios]);
    assert_eq!(printed[0], "cd-start: the boot catalog has no image for UEFI");
    assert_eq!(printed[1], "medium-kernel: initramfs missing");
    assert!(printed[2].starts_with("medium-tree: the root tree cannot be read"), "{printed:?}");
    // A disk's plan says nothing of it.
    let output = ister(&["verify", "--plan", "t.plan.json"]).arg(at("t.iso")).output().unwrap();
    assert!(text(&output.stderr).contains("is not a disk image (CD)"), "{}", text(&output.stderr));
}

fn root_trees_are_verified_before_publishing() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let root = system(directory.path());
    let plan = ister(&[
        "plan",
        "vm-tests/container/template.json",
        "--set",
        "Formats=[\"tar\"]",
        "--format",
        "json",
    ]);
    let plan = { plan }.output().unwrap();
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    std::fs::create_dir(at("built")).unwrap();
    std::fs::write(at("built/container.img.plan.json"), &plan.stdout).unwrap();
    let publish = || {
        run("tar", &["--owner=0", "--group=0", "-cf", "../built/container.tar", "."], &root);
        ister(&["publish"]).arg(at("built")).arg("-o").arg(at("public")).output().unwrap()
    };
    std::fs::rename(root.join("usr/bin/sh"), at("sh")).unwrap();
    let output = publish();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("the root tree has no shell"), "{}", text(&output.stderr));
    assert!(!at("public").exists());
    std::fs::rename(at("sh"), root.join("usr/bin/sh")).unwrap();
    let output = publish();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let listed = std::fs::read_to_string(at("public/SHA512SUMS")).unwrap();
    assert!(listed.ends_with("  container.tar\n"), "{listed}");
}

/// Creates a VMDK with an embedded descriptor and the given capacity in its header.
fn vmdk(capacity: u64, descriptor: &str) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
    put(0, b"KDMV\x01\0\0\0\x03\0\0\0");
    put(12, &capacity.to_le_bytes());
    put(20, &128u64.to_le_bytes());
    put(28, &1u64.to_le_bytes());
    put(36, &20u64.to_le_bytes());
    put(44, &512u32.to_le_bytes());
    put(512, descriptor.as_bytes());
    bytes
}

/// Untrusted images may refer to files of the host. Neither ister nor QEMU opens them.
fn files_referenced_by_images_are_not_opened() {
    need_tools(&["qemu-img", "qemu-system-x86_64", "strace"]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let secret = at("secret-of-the-host");
    std::fs::write(&secret, vec![b's'; 1 << 20]).unwrap();
    let name = secret.display();
    let head = "# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=ffffffff\n";
    let sparse = format!("{head}createType=\"monolithicSparse\"\nRW 2048 SPARSE \"a.vmdk\"\n");
    let flat = format!("{head}createType=\"monolithicFlat\"\nRW 2048 FLAT \"{name}\" 0\n");
    let hint = sparse.replace("RW ", &format!("parentFileNameHint=\"{name}\"\nRW "));
    let child = hint.replace("parentCID=ffffffff", "parentCID=00000001");
    for (file, bytes) in [
        ("descriptor-inside.vmdk", vmdk(0, &flat)),
        ("flat.vmdk", vmdk(2048, &flat)),
        ("two.vmdk", vmdk(2048, &format!("{sparse}RW 2048 SPARSE \"{name}\"\n"))),
        ("hint.vmdk", vmdk(2048, &hint)),
        ("child.vmdk", vmdk(2048, &child)),
        ("descriptor.vmdk", flat.clone().into_bytes()),
        ("json.img", format!("json:{{\"driver\":\"raw\",\"file\":\"{name}\"}}").into_bytes()),
    ] {
        std::fs::write(at(file), bytes).unwrap();
    }
    let create = |args: &[&str]| run("qemu-img", &[&["create", "-q"], args].concat(), directory.path());
    let secret_name = secret.to_str().unwrap();
    create(&["-f", "qcow2", "-b", secret_name, "-F", "raw", "backing.qcow2"]);
    create(&["-f", "qcow2", "-o", &format!("data_file={secret_name},data_file_raw=on"), "data.qcow2", "1M"]);
    create(&["-f", "qed", "-b", secret_name, "-F", "raw", "backing.qed"]);
    create(&["-f", "qcow", "-b", secret_name, "-F", "raw", "backing.qcow"]);
    // qemu-img cannot create differencing images in these formats.
    let patch = |format: &str, file: &str, change: &dyn Fn(&mut Vec<u8>)| {
        create(&["-f", format, file, "8M"]);
        let mut bytes = std::fs::read(at(file)).unwrap();
        change(&mut bytes);
        std::fs::write(at(file), bytes).unwrap();
    };
    patch("vdi", "child.vdi", &|bytes| bytes[76] = 4);
    patch("vpc", "child.vhd", &|bytes| {
        let end = bytes.len() - 512;
        (bytes[63], bytes[end + 63]) = (4, 4);
    });
    patch("vhdx", "child.vhdx", &|bytes| {
        let parameters = [0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d];
        let item = bytes.windows(8).position(|part| part == parameters).unwrap();
        let place = u32::from_le_bytes(bytes[item + 16..item + 20].try_into().unwrap()) as usize;
        bytes[(item & !0xffff) + place + 4] |= 2;
    });
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|path| *path != secret);
    assert_eq!(files.len(), 14);
    for path in files {
        for how in [&["verify"][..], &["boot", "--firmware", "bios", "--timeout", "8"]] {
            let log = at("strace.log");
            let output = Command::new("strace")
                .args(["-f", "-qq", "-e", "trace=open,openat,openat2", "-o"])
                .arg(&log)
                .arg(env!("CARGO_BIN_EXE_ister"))
                .args(how)
                .arg(&path)
                .output()
                .unwrap();
            let opened = std::fs::read_to_string(&log).unwrap();
            let path = path.display();
            assert!(opened.contains(&path.to_string()), "{path}: not found in the strace log");
            assert!(!opened.contains("secret-of-the-host"), "{path}: {how:?} opened it");
            std::fs::remove_file(&log).unwrap();
            assert!(!output.status.success(), "{path}: {how:?} succeeded");
            let printed = text(&output.stdout) + &text(&output.stderr);
            // A raw disk whose content is a QEMU file name is treated as a raw disk.
            let is_refused = printed.contains("is not self-contained")
                || printed.contains("a VMDK descriptor that refers to other files");
            assert!(is_refused || path.to_string().ends_with("json.img"), "{path}: {printed}");
        }
    }
}

/// Disks in other formats and archives have the same findings. Unsupported files are reported with their type.
fn other_formats_are_opened_or_reported() {
    need_tools(&["qemu-img", "sfdisk", "bzip2"]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    run("sh", &["-ec", "truncate -s 16M disk.raw; echo ',,L' | sfdisk -q disk.raw"], directory.path());
    let of_raw = found(&at("disk.raw"));
    for (name, how) in [
        ("disk.img.bz2", "bzip2 -k -c disk.raw >disk.img.bz2"),
        ("disk.qed", "qemu-img convert -f raw -O qed disk.raw disk.qed"),
        ("disk.qcow", "qemu-img convert -f raw -O qcow disk.raw disk.qcow"),
        ("disk.parallels", "qemu-img convert -f raw -O parallels disk.raw disk.parallels"),
        (
            "machine.ova",
            "qemu-img convert -f raw -O vmdk -o subformat=streamOptimized disk.raw machine-disk1.vmdk
             echo '<Envelope/>' >machine.ovf; tar --format=ustar -cf machine.ova machine.ovf machine-disk1.vmdk",
        ),
        (
            "libvirt.box",
            "qemu-img convert -f raw -O qcow2 disk.raw box.img; echo '{}' >metadata.json
             tar -czf libvirt.box ./metadata.json ./box.img",
        ),
    ] {
        run("sh", &["-ec", how], directory.path());
        assert_eq!(found(&at(name)), of_raw, "{name}");
    }
    for (bytes, what) in [
        (&b"PK\x03\x04"[..], "a zip archive"),
        (b"\x04\x22\x4d\x18", "compressed with lz4"),
        (b"LZIP", "compressed with lzip"),
        (b"\x3a\xff\x26\xed", "an Android sparse image"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"hsqs", "a squashfs filesystem"),
    ] {
        std::fs::write(at("foreign"), [bytes, &[0; 4096]].concat()).unwrap();
        assert!(found(&at("foreign"))[0].contains(what), "{what}");
        let output = ister(&["boot"]).arg(at("foreign")).output().unwrap();
        assert!(text(&output.stderr).contains(what), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1));
    }
}

crate::tests! {
    root_trees_are_verified,
    truncated_disks_are_detected,
    network_boot_archives_are_verified,
    cds_are_verified,
    root_trees_are_verified_before_publishing,
    files_referenced_by_images_are_not_opened,
    other_formats_are_opened_or_reported,
}
