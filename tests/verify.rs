//! Tests of verification: intact images of all formats have no findings, and every kind of damage is reported by its
//! rule.

mod images;

use images::{Good, change_entries, flip, open, size};
mod damages;

use crate::common::system::{add_special_files, install, is_root, make, plan, template};
use crate::common::{text, verify};
use damages::DAMAGES;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
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

fn labelled() -> serde_json::Value {
    let mut template = template("ext4", &[]);
    template["FilesystemTypes"][2]["label"] = "root".into();
    template
}

fn damage_is_reported_by_its_rule() {
    let good = Good::new(&labelled(), |_| {});
    assert_eq!(verify(&good.image, &[]), [""; 0], "no findings in an intact image");
    for (what, rule, damage) in DAMAGES {
        let found = good.damaged(&|good, image| damage(good, image));
        assert!(
            found.iter().any(|finding| finding.contains(&format!("[{rule}]"))),
            "{what}: expected {rule}, found {found:#?}"
        );
    }
    assert!(DAMAGES.len() >= 25);
}

fn damage_in_other_filesystems_is_reported() {
    for (kind, structures) in
        [("xfs", [8u64, 512 + 20, 1024 + 20]), ("btrfs", [65_536 + 100, 65_536 + 300, 65_536 + 0x20])]
    {
        let good = Good::new(&template(kind, &[]), |root| add_special_files(root, is_root()));
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

fn luks_damage_is_an_error_and_locked_volume_a_note() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    install(&root);
    let mut template = template("ext4", &[("64M", "ext4", "/srv")]);
    template["FilesystemTypes"][3]["encryption"] =
        serde_json::json!({ "name": "data", "passphrase": { "env": "P" } });
    template["PartitionMountPoints"][2]["encryption"] = serde_json::json!({ "name": "data" });
    let plan = plan(&template, |_| {});
    let image = crate::common::system::make_with(
        &plan,
        &root,
        directory.path(),
        &[("data", "open sesame")],
        Some("s"),
    );
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

fn grub_is_compared_with_its_copies() {
    crate::common::need_tools(&["grub-mkimage", "/usr/lib/grub/i386-pc/boot.img"]);
    let mut template = labelled();
    template["LegacyBios"] = true.into();
    for section in ["PartitionLayout", "FilesystemTypes", "PartitionMountPoints"] {
        template[section].as_array_mut().unwrap().remove(0);
    }
    let good = Good::new(&template, |_| {});
    assert_eq!(verify(&good.image, &[]), [""; 0]);
    for (what, at) in [
        ("boot code", 0x180u64),
        ("the location of the core image", 0x5c),
        ("the first sector of the core image", 34 * 512 + 4),
        ("the block list of the core image", 34 * 512 + 500),
        ("the middle of the core image", 34 * 512 + 9000),
    ] {
        let found = good.damaged(&|_, image| flip(image, at));
        assert!(found.iter().any(|f| f.contains("[grub-core]")), "{what}: {found:#?}");
    }
    let found = good.damaged(&|_, image| open(image).write_all_at(&[0; 440], 0).unwrap());
    assert!(found.iter().any(|f| f.contains("[boot-path]")), "{found:#?}");
    let found = good.damaged(&|good, image| good.debugfs(image, "rm /boot/vmlinuz-6.1.0"));
    assert!(found.iter().any(|f| f.contains("[entry-kernel]")), "{found:#?}");
    const SETTINGS: &str = "/etc/default/grub.d/50-ister.cfg";
    type Change = fn(&Good, &Path);
    let updates: [(&str, Change); 4] = [
        ("no settings", |good, image| good.debugfs(image, &format!("rm {SETTINGS}"))),
        ("another root", |good, image| {
            good.put(image, SETTINGS, b"GRUB_CMDLINE_LINUX=\"root=/dev/sdz\"\n", "0100644");
        }),
        ("a hook that is not executable", |good, image| {
            good.put(image, "/etc/kernel/postinst.d/zz-update-grub", b"", "0100644");
        }),
        ("no grub-mkconfig", |good, image| good.debugfs(image, "rm /usr/sbin/grub-mkconfig")),
    ];
    for (what, damage) in updates {
        let found = good.damaged(&damage);
        assert!(found.iter().any(|f| f.contains("[kernel-update]")), "{what}: {found:#?}");
    }
    let found = good.damaged(&|good, image| good.debugfs(image, "rm /boot/grub/grub.cfg"));
    assert!(found.iter().any(|f| f.contains("[grub-configuration]")), "{found:#?}");
}

/// All published formats are read directly, without unpacking them first.
fn intact_images_of_all_formats_have_no_findings() {
    crate::common::need_tools(&["qemu-img", "xz", "zstd", "gzip"]);
    let good = Good::new(&labelled(), |_| {});
    let raw = good.image.to_str().unwrap().to_owned();
    let copy_plan =
        |path: &str| std::fs::copy(format!("{raw}.plan.json"), format!("{path}.plan.json")).unwrap();
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
    // The archive for Google Compute Engine, and a compressed qcow2.
    let inner = good.directory.path().join("disk.raw");
    std::fs::rename(&good.image, &inner).unwrap();
    let archive = format!("{raw}.tar.gz");
    run("tar", &["-C", good.directory.path().to_str().unwrap(), "-czf", &archive, "disk.raw"]);
    copy_plan(&archive);
    let found = verify(Path::new(&archive), &[]);
    assert!(found.len() == 1 && found[0].contains("[gce-size]"), "expected only gce-size: {found:#?}");
    let packed = format!("{raw}.qcow2.zst");
    run("zstd", &["-q", "-1", &format!("{raw}.qcow2"), "-o", &packed]);
    paths.push(packed);
    for path in &paths {
        copy_plan(path);
        assert_eq!(verify(Path::new(path), &[]), [""; 0], "{path}");
    }
    // A VHD whose size is not a multiple of 1 MiB.
    let short = good.directory.path().join("short.raw");
    run("cp", &["--sparse=always", inner.to_str().unwrap(), short.to_str().unwrap()]);
    open(&short).set_len(size(&short) + 512).unwrap();
    let vhd = good.directory.path().join("short.vhd");
    let options = "subformat=fixed,force_size=on";
    let (short, vhd_name) = (short.to_str().unwrap(), vhd.to_str().unwrap());
    run("qemu-img", &["convert", "-f", "raw", "-O", "vpc", "-o", options, short, vhd_name]);
    let found = verify(&vhd, &[]);
    assert!(found.iter().any(|finding| finding.contains("[vhd-size]")), "{found:#?}");
    // A VHD whose geometry, which some programs use, results in another size.
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

/// Formats with a fixed sector size of 512 bytes are read with it, as virtual machines do. A table for 4096-byte
/// sectors is then damaged.
fn table_for_4096_byte_sectors_is_damaged_in_512_byte_formats() {
    crate::common::need_tools(&["qemu-img"]);
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

/// `verify` and `boot` share the check of file names against contents.
fn mismatched_file_name_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["disk.vhd", "disk.VHDX", "disk.qcow2", "disk.vmdk", "disk.vdi", "disk.raw.xz"] {
        let path = directory.path().join(name);
        std::fs::write(&path, vec![0; 1 << 20]).unwrap();
        let mut said = format!("the file name `{name}` does not match its content, which is raw");
        if name.ends_with(".xz") {
            // A compressed file with a qcow2 inside.
            run("qemu-img", &["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "1M"]);
            let packed = Command::new("xz").arg("-c").arg(&path).output().unwrap().stdout;
            std::fs::write(&path, packed).unwrap();
            said = said.replace("which is raw", "which is qcow2");
        }
        let output = crate::common::ister(&["boot", "--firmware", "bios"]).arg(&path).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&said), "{stderr}");
        let output = crate::common::ister(&["verify", "-q"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("error[image-format]"), "{}", text(&output.stdout));
    }
}

/// References to other files of the host are not followed.
fn an_image_that_refers_to_other_files_is_refused() {
    crate::common::need_tools(&["qemu-img"]);
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
    for (name, said) in [
        ("overlay.qcow2", "refers to another file"),
        ("descriptor.vmdk", "a VMDK descriptor that refers to other files"),
    ] {
        let output = crate::common::ister(&["verify", &path(name), "-q"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "expected an error of the image: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("error[published-file]"), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains(said), "{}", text(&output.stdout));
    }
}

/// Valid configurations of other image builders have no findings.
fn valid_variants_of_other_builders_have_no_findings() {
    let good = Good::new(&labelled(), |_| {});
    let found = good.damaged(&|good, image| {
        // A different kernel name, a GRUB variable in the entry, and devices that depend on the machine.
        run("mren", &["-i", &good.esp(image), "::/test/6.1.0/linux", "::/vmlinuz-linux"]);
        let (name, entry) = good.entry(image);
        let entry = entry
            .replace("/test/6.1.0/linux", "/vmlinuz-linux")
            .replace("initrd /", "initrd $tuned_initrd /");
        good.put_in_esp(image, &name, entry.as_bytes());
        good.put(
            image,
            "/etc/fstab",
            b"/dev/root / auto defaults 0 1\n/dev/sda1 /efi vfat umask=0077 0 2\n/dev/mapper/vg-data /data ext4 nofail 0 2\n",
            "0100644",
        );
    });
    assert_eq!(found, [""; 0]);

    // systemd-gpt-auto-generator mounts the ESP without an entry in fstab.
    let found = good.damaged(&|good, image| good.debugfs(image, "rm /etc/fstab"));
    assert!(!found.iter().any(|f| f.contains("kernel-entry")), "{found:#?}");

    // A data disk needs no root filesystem.
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

/// Exit codes, output formats and explanations of the program.
fn the_command_says_what_the_library_finds() {
    let good = Good::new(&labelled(), |_| {});
    let image = good.image.to_str().unwrap();
    let output = crate::common::ister(&["verify", image]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let picture = good.directory.path().join("boot.svg");
    let output =
        crate::common::ister(&["verify", image, "-q", "--explain-boot", "--boot-svg"]).arg(&picture).output();
    let printed = text(&output.unwrap().stdout);
    assert!(
        printed.starts_with("UEFI\n└─ systemd-boot 252  (partition 1: /EFI/BOOT/BOOTX64.EFI)\n"),
        "{printed}"
    );
    assert!(printed.contains("├─ kernel 6.1.0  (partition 1: /test/6.1.0/linux)\n"), "{printed}");
    assert!(std::fs::read_to_string(&picture).unwrap().contains(">kernel 6.1.0 "));
    let output = crate::common::ister(&["verify", image, "-q", "--explain-boot", "--format", "json"])
        .output()
        .unwrap();
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
        let output = crate::common::ister(&["verify", image, "--format", format, "-q"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{format}");
        let printed = text(&output.stdout);
        assert!(printed.starts_with(start) && printed.contains("gpt-primary"), "{format}: {printed}");
    }
    let output = crate::common::ister(&["explain", "gpt-primary"]).output().unwrap();
    assert!(text(&output.stdout).starts_with("# gpt-primary (error, `ister verify`)"));
    let output = crate::common::ister(&["verify", "/no/such/image"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let output = crate::common::ister(&["verify", image, "--unlock", "secret"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

fn two_images_are_compared_down_to_the_field() {
    let good = Good::new(&labelled(), |_| {});
    let copy = good.directory.path().join("copy.img");
    run("cp", &["--sparse=always", good.image.to_str().unwrap(), copy.to_str().unwrap()]);
    let diff = |code: i32| {
        let output =
            crate::common::ister(&["diff", good.image.to_str().unwrap(), copy.to_str().unwrap(), "-q"])
                .output()
                .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(diff(0), "the images are identical\n");
    good.debugfs(&copy, "set_inode_field /etc/passwd mtime @1600000000");
    good.put(&copy, "/etc/group", b"root:x:1:\n", "0100644");
    good.put_in_esp(&copy, "/loader/loader.conf", b"timeout 5\n");
    let printed = diff(1);
    for part in [
        "partition 3 (`root`) > ext > /etc/passwd > modification time",
        "partition 3 (`root`) > ext > /etc/group > content",
        "partition 1 (`ESP`) > vfat > /loader/loader.conf > content",
    ] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    // Real changes come before those in every build.
    let place = |heading: &str| {
        printed.find(&format!("== {heading} (")).unwrap_or_else(|| panic!("{heading} in {printed}"))
    };
    assert!(place("boot") < place("files") && place("files") < place("times"), "{printed}");
    // One file differs only in the GUID of the root partition; one package has a new version.
    change_entries(&copy, &|entries| entries[256 + 16] ^= 0xff);
    let (name, entry) = good.entry(&copy);
    let guid = good.disk().partitions[2].guid.to_string();
    let first = format!("{:02x}", u8::from_str_radix(&guid[6..8], 16).unwrap() ^ 0xff);
    let other = format!("{}{first}{}", &guid[..6], &guid[8..]);
    good.put_in_esp(&copy, &name, entry.replace(&guid, &other).as_bytes());
    let status = b"Package: test\nStatus: install ok installed\nVersion: 2\n\n";
    good.put(&copy, "/var/lib/dpkg/status", status, "0100644");
    let printed = diff(1);
    assert!(printed.starts_with("== packages (1)\ntest: 1 -> 2\n"), "{printed}");
    let identifiers = printed.find("== identifiers").unwrap();
    let content = printed.find(&format!("{name} > content")).unwrap_or_else(|| panic!("{name} in {printed}"));
    assert!(content > identifiers, "{printed}");
    let page = crate::common::ister(&[
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
    let printed = diff(1);
    assert!(printed.contains("primary partition table > partition 1 > name"), "{printed}");
}

crate::tests! {
    damage_is_reported_by_its_rule,
    damage_in_other_filesystems_is_reported,
    luks_damage_is_an_error_and_locked_volume_a_note,
    grub_is_compared_with_its_copies,
    intact_images_of_all_formats_have_no_findings,
    table_for_4096_byte_sectors_is_damaged_in_512_byte_formats,
    mismatched_file_name_is_an_error,
    an_image_that_refers_to_other_files_is_refused,
    valid_variants_of_other_builders_have_no_findings,
    the_command_says_what_the_library_finds,
    two_images_are_compared_down_to_the_field,
}
