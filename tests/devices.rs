//! Physical targets, on loop devices: refused, erased and preserved disks. Only one test runs at a time, because the
//! devices belong to the host.
//!
//! Tests are reported as skipped without root or loop devices.

use crate::common::{ister, text, verify};
use crate::harness::skip;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

static HEAVY: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    HEAVY.lock().unwrap_or_else(|e| e.into_inner())
}

/// A loop device on a sparse file, detached on drop.
struct Loop {
    directory: tempfile::TempDir,
    name: String,
}

impl Loop {
    fn new(mebibytes: u64, sector: u64) -> Loop {
        if !rustix::process::geteuid().is_root() {
            skip("loop devices need root");
        }
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(directory.path().join("disk")).unwrap();
        file.set_len(mebibytes << 20).unwrap();
        let output = Command::new("losetup")
            .args(["--find", "--show", "--sector-size", &sector.to_string()])
            .arg(directory.path().join("disk"))
            .output()
            .unwrap();
        if !output.status.success() {
            skip(&format!("this host has no loop devices: {}", text(&output.stderr).trim()));
        }
        let name = text(&output.stdout).trim().trim_start_matches("/dev/").to_owned();
        Loop { directory, name }
    }

    fn device(&self) -> String {
        format!("/dev/{}", self.name)
    }

    fn backing(&self) -> PathBuf {
        self.directory.path().join("disk")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.device()]).status();
    }
}

fn run(program: &str, args: &[&str]) -> String {
    let path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
    let output =
        Command::new(program).args(args).env("PATH", path).env("MTOOLS_SKIP_CHECK", "1").output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn template(disk: &str) -> serde_json::Value {
    let entry = |number: u32, key: &str, value: &str| serde_json::json!({ "disk": disk, "partition": number, key: value });
    let part = |number: u32, size: &str, kind: &str| serde_json::json!({ "disk": disk, "partition": number, "size": size, "type": kind });
    serde_json::json!({
        "DestinationType": "physical",
        "PartitionLayout": [part(1, "64M", "EFI"), part(2, "700M", "linux"), part(3, "rest", "linux")],
        "FilesystemTypes": [entry(1, "type", "vfat"), entry(2, "type", "ext4"), entry(3, "type", "ext4")],
        "PartitionMountPoints": [entry(1, "mount", "/boot"), entry(2, "mount", "/"), entry(3, "mount", "/home")],
        "SoftwareManager": "apt",
        "Version": "bookworm",
        "Bundles": ["os-core", "bootloader", "kernel-kvm"],
        "Users": [{ "username": "ada", "uid": 1234, "password": "$6$salt$hash", "sudo": true }],
        "Hostname": "metal"
    })
}

fn build(directory: &Path, template: &serde_json::Value, more: &[&str]) -> Output {
    let path = directory.join("metal.json");
    std::fs::write(&path, serde_json::to_string_pretty(template).unwrap()).unwrap();
    // Share the content with the boot tests.
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let mut command = ister(more);
    command.arg(&path).arg("-o").arg(directory.join("out")).arg("--cache-dir").arg(cache);
    command.output().unwrap()
}

fn ok(output: &Output) {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

fn disks_in_use_are_refused_and_erasing_needs_confirmation() {
    let _one = one_at_a_time();
    let disk = Loop::new(2048, 512);
    let directory = tempfile::tempdir().unwrap();
    let template = template(&disk.name);
    // Standard input is not a terminal, so ister cannot ask for confirmation.
    run("mkfs.ext4", &["-q", "-L", "precious", &disk.device()]);
    let output = build(directory.path(), &template, &["build"]);
    let printed = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{printed}");
    assert!(
        printed.contains("precious") && printed.contains("ext4") && printed.contains("ERASED"),
        "{printed}"
    );
    assert!(printed.contains("help: to erase without confirmation, add --erase"), "{printed}");
    let label = run("blkid", &["-p", "-o", "value", "-s", "LABEL", &disk.device()]);
    assert_eq!(label.trim(), "precious");

    // A mounted disk. Compatibility mode, which does not ask for confirmation, refuses it too.
    let mount = directory.path().join("mounted");
    std::fs::create_dir(&mount).unwrap();
    run("mount", &[&disk.device(), mount.to_str().unwrap()]);
    for form in [&["build", "--erase"][..], &["-t"][..]] {
        let output = build(directory.path(), &template, form);
        let printed = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{printed}");
        assert!(printed.contains(&format!("refusing to write to /dev/{}", disk.name)), "{printed}");
        assert!(
            printed.contains(&format!("is mounted at {}", mount.display()))
                && printed.contains("unmount it: `umount "),
            "{printed}"
        );
    }
    run("umount", &[mount.to_str().unwrap()]);

    run("mkswap", &[&disk.device()]);
    if Command::new("swapon").arg(disk.device()).status().is_ok_and(|status| status.success()) {
        let output = build(directory.path(), &template, &["build", "--erase"]);
        run("swapoff", &[&disk.device()]);
        assert_eq!(output.status.code(), Some(3));
        assert!(text(&output.stderr).contains("is in use as swap"), "{}", text(&output.stderr));
    }
    // A loop device on the disk, which sysfs does not list as a holder.
    run("mkfs.ext4", &["-q", "-F", "-L", "above", &disk.device()]);
    let above = run("losetup", &["--find", "--show", &disk.device()]);
    let above = above.trim();
    let output = build(directory.path(), &template, &["build", "--erase"]);
    run("losetup", &["-d", above]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains(&format!("is in use by {above}")), "{}", text(&output.stderr));

    // Nothing can be preserved with a new partition table. Options for images are refused before anything is written.
    let mut kept = template.clone();
    kept["FilesystemTypes"][2]["disable_format"] = "".into();
    let output = build(directory.path(), &kept, &["build", "--erase"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr)
            .contains("filesystems cannot be preserved when a new partition table is written")
    );
    for option in ["--check-reproducible", "--boot-test"] {
        let output = build(directory.path(), &template, &["build", "--erase", option]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    }
    let label = run("blkid", &["-p", "-o", "value", "-s", "LABEL", &disk.device()]);
    assert_eq!(label.trim(), "above");

    let mut other = template.clone();
    for section in ["PartitionLayout", "FilesystemTypes", "PartitionMountPoints"] {
        for entry in other[section].as_array_mut().unwrap() {
            entry["disk"] = "no-such-disk".into();
        }
    }
    let output = build(directory.path(), &other, &["build", "--erase"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("no disk /dev/no-such-disk on this machine"),
        "{}",
        text(&output.stderr)
    );
}

fn reinstall_preserves_home() {
    let _one = one_at_a_time();
    let disk = Loop::new(1400, 512);
    let directory = tempfile::tempdir().unwrap();
    // Old data must not be visible in the new filesystems.
    run("dd", &["if=/dev/urandom", &format!("of={}", disk.device()), "bs=1M", "count=300", "status=none"]);
    // In compatibility mode, ister does not ask for confirmation.
    ok(&build(directory.path(), &template(&disk.name), &["-q", "-t"]));
    let plan = directory.path().join(format!("out/{}.plan.json", disk.name));
    let disk_plan =
        || -> serde_json::Value { serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap() };
    let first = disk_plan();
    let size = first["disks"][0]["partitions"][2]["size"].as_u64().unwrap() >> 20;
    assert_eq!(size, 1400 - 1 - 64 - 700 - 1, "the rest of the device");
    let found = verified(&disk, &plan);
    assert_eq!(found, [""; 0]);

    // Add a user's file to /home.
    let home = first["disks"][0]["partitions"][2]["first_lba"].as_u64().unwrap() * 512;
    let mounted = directory.path().join("mounted");
    std::fs::create_dir(&mounted).unwrap();
    let inner = mount_at(&disk, home, &mounted);
    std::fs::write(mounted.join("ada/diary"), "precious").unwrap();
    run("umount", &[mounted.to_str().unwrap()]);
    run("losetup", &["-d", &inner]);

    // Add the boot loader of another system to the ESP.
    let esp = format!("{}@@1M", disk.device());
    let stranger = directory.path().join("stranger");
    std::fs::write(&stranger, "another loader").unwrap();
    run("mmd", &["-i", &esp, "::/EFI/other"]);
    run("mcopy", &["-i", &esp, stranger.to_str().unwrap(), "::/EFI/other/other.efi"]);
    run("sync", &[]);

    // Reinstall with a new user, preserving /home and the ESP.
    let mut again = template(&disk.name);
    again["DisabledNewPartitions"] = true.into();
    again["PartitionLayout"][2]["size"] = "100M".into();
    again["FilesystemTypes"][2]["disable_format"] = "".into();
    again["FilesystemTypes"][0]["disable_format"] = "".into();
    again["Hostname"] = "again".into();
    again["Users"]
        .as_array_mut()
        .unwrap()
        .push(serde_json::json!({ "username": "bob", "password": "$6$salt$hash" }));
    ok(&build(directory.path(), &again, &["build", "--erase", "-q"]));
    let second = disk_plan();
    for field in ["guid", "partitions_from"] {
        assert_eq!(second["disks"][0][field], first["disks"][0][field]);
    }
    assert_eq!(second["disks"][0]["partitions"][2]["guid"], first["disks"][0]["partitions"][2]["guid"]);
    let inner = mount_at(&disk, home, &mounted);
    assert_eq!(std::fs::read_to_string(mounted.join("ada/diary")).unwrap(), "precious");
    run("umount", &[mounted.to_str().unwrap()]);
    run("losetup", &["-d", &inner]);
    run("sync", &[]);
    assert!(run("mtype", &["-i", &esp, "::/EFI/other/other.efi"]).contains("another loader"));
    // The root filesystem is new, and the first boot will create the new user's home directory.
    let root = format!("{}?offset={}", disk.backing().display(), (1 + 64) << 20);
    let read = |path: &str| run("debugfs", &["-R", &format!("cat {path}"), &root]);
    assert_eq!(read("/etc/hostname"), "again\n");
    let lines = read("/etc/tmpfiles.d/ister-kept.conf");
    assert!(lines.contains("C /home/bob - - - -\n") && lines.contains("C /home/ada - - - -\n"), "{lines}");
    assert!(run("debugfs", &["-R", "ls -p /usr/share/factory/home", &root]).contains("bob"));
    assert_eq!(verified(&disk, &plan), [""; 0]);

    // A partition without a filesystem in the template is not changed if the table is preserved.
    let mut bare = again.clone();
    bare["FilesystemTypes"].as_array_mut().unwrap().pop();
    bare["PartitionMountPoints"].as_array_mut().unwrap().pop();
    let output = build(directory.path(), &bare, &["build", "--erase"]);
    ok(&output);
    assert!(text(&output.stderr).lines().any(|line| line.starts_with("3 ") && line.ends_with("preserved")));
    run("sync", &[]);
    let kept = format!("{}?offset={home}", disk.backing().display());
    assert_eq!(run("debugfs", &["-R", "cat /ada/diary", &kept]), "precious");

    // A filesystem of a different type cannot be preserved.
    again["FilesystemTypes"][2]["type"] = "xfs".into();
    let output = build(directory.path(), &again, &["build", "--erase", "-q"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("contains ext4, expected xfs"), "{}", text(&output.stderr));
}

/// Verifies the backing file against the plan of the device.
fn verified(disk: &Loop, plan: &Path) -> Vec<String> {
    run("sync", &[]);
    let sibling_path = format!("{}.plan.json", disk.backing().display());
    std::fs::copy(plan, sibling_path).unwrap();
    verify(&disk.backing(), &[])
}

/// Mounts a filesystem by its offset on the disk, because not all hosts create device nodes for partitions.
fn mount_at(disk: &Loop, offset: u64, at: &Path) -> String {
    let inner = run(
        "losetup",
        &["--find", "--show", "--offset", &offset.to_string(), disk.backing().to_str().unwrap()],
    );
    let inner = inner.trim().to_owned();
    run("mount", &[&inner, at.to_str().unwrap()]);
    inner
}

fn several_disks_with_large_sectors_and_encryption() {
    let _one = one_at_a_time();
    let first = Loop::new(900, 4096);
    let second = Loop::new(400, 512);
    let directory = tempfile::tempdir().unwrap();
    let mut template = template(&first.name);
    template["PartitionLayout"][1]["size"] = "rest".into();
    template["PartitionLayout"][2] =
        serde_json::json!({ "disk": second.name, "partition": 1, "size": "rest", "type": "linux" });
    template["FilesystemTypes"][2] = serde_json::json!({
        "disk": second.name, "partition": 1, "type": "xfs",
        "encryption": { "name": "home", "passphrase": { "env": "ISTER_TEST_PASSPHRASE" } }
    });
    template["PartitionMountPoints"][2] = serde_json::json!({
        "disk": second.name, "partition": 1, "mount": "/home", "encryption": { "name": "home" }
    });
    for disk in [&first, &second] {
        run(
            "dd",
            &["if=/dev/urandom", &format!("of={}", disk.device()), "bs=1M", "count=300", "status=none"],
        );
    }
    let path = directory.path().join("metal.json");
    std::fs::write(&path, template.to_string()).unwrap();
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
    let output = ister(&["build", "--erase", "-q"])
        .arg(&path)
        .arg("-o")
        .arg(directory.path())
        .arg("--cache-dir")
        .arg(cache)
        .env("ISTER_TEST_PASSPHRASE", "open sesame")
        .output()
        .unwrap();
    ok(&output);
    let plan = directory.path().join(format!("{}.plan.json", first.name));
    assert_eq!(verified(&first, &plan), [""; 0]);
    let plan: ister::plan::Plan = serde_json::from_slice(&std::fs::read(plan).unwrap()).unwrap();
    assert_eq!(plan.disks.len(), 2);
    assert_eq!((plan.disks[0].sector_size.bytes(), plan.disks[1].sector_size.bytes()), (4096, 512));
    // Check the second disk separately: its table, and the filesystem with the passphrase.
    run("sgdisk", &["-v", second.backing().to_str().unwrap()]);
    run("sync", &[]);
    let findings = verify(&second.backing(), &["open sesame"]);
    let others: Vec<&String> = findings.iter().filter(|f| !f.contains("[root-filesystem]")).collect();
    assert!(others.is_empty(), "{others:#?}");
}

crate::tests! {
    disks_in_use_are_refused_and_erasing_needs_confirmation,
    reinstall_preserves_home,
    several_disks_with_large_sectors_and_encryption,
}
