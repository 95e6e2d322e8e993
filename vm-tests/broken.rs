//! Deliberately broken images. Each one must get its class and stage, and none may pass. Conversely, a good image must
//! never fail.

use super::{Broken, Outcome, World, expect, ister, run};
use libtest_mimic::Failed;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

/// A way to break an image.
struct Kind {
    name: &'static str,
    base: Base,
    break_it: fn(&Broken) -> Outcome,
    /// Additional arguments for `ister boot`.
    args: &'static [&'static str],
    class: &'static str,
    stage: &'static str,
}

#[derive(Clone, Copy)]
enum Base {
    /// UEFI, systemd-boot.
    Kvm,
    /// BIOS, GRUB.
    Legacy,
}

const fn kind(
    name: &'static str,
    base: Base,
    break_it: fn(&Broken) -> Outcome,
    class: &'static str,
    stage: &'static str,
) -> Kind {
    Kind { name, base, break_it, args: &[], class, stage }
}

const fn with(args: &'static [&'static str], kind: Kind) -> Kind {
    Kind { args, ..kind }
}

use Base::{Kvm, Legacy};

const KINDS: &[Kind] = &[
    // Firmware.
    kind("empty-disk", Kvm, empty, "no-bootable-device", "firmware"),
    kind("empty-disk-bios", Legacy, empty, "no-bootable-device", "firmware"),
    kind("no-esp", Kvm, |b| sgdisk(b, "--delete=1"), "no-bootable-device", "firmware"),
    kind("hang-in-boot-code", Legacy, hang_in_boot_code, "no-progress", "firmware"),
    // Loader.
    kind("no-entry", Kvm, |b| esp(b, "mdeltree", &["::/loader/entries"]), "loader-failed", "loader"),
    kind("no-kernel", Kvm, |b| esp(b, "mdel", &[&in_esp(b, "linux")?]), "loader-failed", "loader"),
    kind("corrupt-kernel", Kvm, |b| replace_kernel(b, |bytes| bytes.fill(0)), "loader-failed", "loader"),
    kind("no-initramfs", Kvm, |b| esp(b, "mdel", &[&in_esp(b, "initrd")?]), "loader-failed", "loader"),
    kind(
        "grub-without-configuration",
        Legacy,
        |b| debugfs(b, "rm /boot/grub/grub.cfg\n"),
        "grub-shell",
        "loader",
    ),
    kind("grub-without-kernel", Legacy, remove_kernel, "loader-failed", "loader"),
    // Kernel. It prints nothing before it hangs, so the boot loader is the last visible stage.
    kind("hang-in-kernel", Kvm, |b| replace_kernel(b, hang_at_entry), "no-progress", "loader"),
    kind("kernel-does-not-unpack", Kvm, |b| replace_kernel(b, spoil_payload), "loader-failed", "kernel"),
    kind("entry-without-initramfs", Kvm, |b| entry(b, without_initrd), "kernel-panic", "kernel"),
    // Initramfs.
    kind("wrong-root", Kvm, wrong_root, "initramfs-shell", "initramfs"),
    kind("root-wiped", Kvm, wipe_root, "initramfs-shell", "initramfs"),
    with(&["--disk", "ahci"], kind("no-module-for-the-bus", Kvm, |_| Ok(()), "initramfs-shell", "initramfs")),
    kind("no-init", Kvm, |b| debugfs(b, "rm /usr/sbin/init\n"), "no-init", "initramfs"),
    // Init.
    kind("init-ends", Kvm, |b| init(b, "exit 1"), "kernel-panic", "initramfs"),
    kind("reset-loop", Kvm, |b| init(b, "echo b > /proc/sysrq-trigger; sleep 60"), "reset-loop", "initramfs"),
    kind("power-off", Kvm, |b| init(b, "echo o > /proc/sysrq-trigger; sleep 60"), "powered-off", "initramfs"),
    kind("fsck-fails", Kvm, damaged_second_filesystem, "fsck-failed", "init"),
    kind(
        "bad-fstab",
        Kvm,
        |b| put(b, "/etc/fstab", "LABEL=nowhere /srv ext4 defaults 0 2\n"),
        "mount-failed",
        "init",
    ),
    kind("mount-never-comes", Kvm, mount_unit, "mount-failed", "init"),
    kind("hang-before-login", Kvm, hanging_service, "no-progress", "init"),
    kind("getty-masked", Kvm, mask_getty, "no-getty", "init"),
    // Login. The output of programs is only a reason for a check, so a login is required.
    with(AS_ROOT, kind("root-read-only", Kvm, read_only_root, "root-read-only", "login")),
    with(AS_ROOT, kind("root-full", Kvm, full_root, "root-full", "login")),
    kind("getty-ends", Kvm, getty_that_ends, "getty-crashed", "login"),
    kind("login-missing", Kvm, |b| debugfs(b, "rm /usr/bin/login\nrm /bin/login\n"), "login-broken", "login"),
    kind(
        "pam-broken",
        Kvm,
        |b| put(b, "/etc/pam.d/login", "auth required pam_nosuch.so\n"),
        "login-broken",
        "login",
    ),
    kind(
        "init-is-a-shell",
        Kvm,
        |b| entry(b, |text| text.replace(" rw ", " rw init=/bin/sh ")),
        "shell-instead-of-init",
        "initramfs",
    ),
    kind("no-default-target", Kvm, no_default_target, "init-crashed", "init"),
    kind("grub-menu-waits", Legacy, grub_menu, "loader-waits", "loader"),
    with(&["--host", "another"], kind("wrong-host", Kvm, |_| Ok(()), "wrong-host", "login")),
];

const AS_ROOT: &[&str] = &["--login", "root=env:ISTER_TEST_PASSWORD"];

/// Names of kinds: only these are tested.
const CHOICE: &str = "ISTER_TEST_KINDS";

/// Two kinds run in parallel, because most of the time is spent waiting.
pub fn every_kind(world: &World) -> Outcome {
    let choice = std::env::var(CHOICE).unwrap_or_default();
    let is_chosen = |kind: &&Kind| choice.is_empty() || choice.split(',').any(|name| name == kind.name);
    let is_known = |name: &&str| name.is_empty() || KINDS.iter().any(|kind| kind.name == *name);
    let unknown: Vec<&str> = choice.split(',').filter(|name| !is_known(name)).collect();
    expect(unknown.is_empty(), &format!("unknown kinds in {CHOICE}: {unknown:?}"))?;
    let todo = Mutex::new(KINDS.iter().filter(is_chosen));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(kind) = todo.lock().expect("no thread panics").next() else { return };
                    if let Err(why) = try_kind(world, kind) {
                        let why = why.message().unwrap_or("failed").to_owned();
                        failures.lock().expect("no thread panics").push(format!("{}: {why}", kind.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics");
    expect(failures.is_empty(), &failures.join("\n\n"))
}

fn try_kind(world: &World, kind: &Kind) -> Outcome {
    let image = match kind.base {
        Base::Kvm => "kvm.img",
        Base::Legacy => "test/kvm-legacy/kvm-legacy.img",
    };
    let broken = world.copy_of(image, &format!("broken-{}.img", kind.name))?;
    (kind.break_it)(&broken)?;
    let report = world.path(&format!("broken-{}", kind.name));
    let args = [&["boot", broken.image.to_str().unwrap(), "--format", "json"][..], kind.args].concat();
    let verdict = ister(&args, &[("--report", &report)], 1)?;
    let got = (verdict["class"].as_str().unwrap_or_default(), verdict["stage"].as_str().unwrap_or_default());
    expect(
        got == (kind.class, kind.stage),
        &format!("expected {} at {}: {verdict:#}", kind.class, kind.stage),
    )?;
    let has_lines = verdict["lines"].as_array().is_some_and(|lines| !lines.is_empty());
    // A machine that stops before it prints anything has only a screenshot.
    expect(has_lines || kind.stage == "firmware", &format!("no lines prove the class: {verdict:#}"))?;
    expect(verdict["advice"].is_string(), "the verdict has no advice")
}

/// A good image passes every time.
pub fn twenty_boots(world: &World) -> Outcome {
    let image = world.path("test/kvm-legacy/kvm-legacy.img");
    let image = image.to_str().unwrap();
    let left = Mutex::new(20);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    {
                        let mut left = left.lock().expect("no thread panics");
                        if *left == 0 {
                            return;
                        }
                        *left -= 1;
                    }
                    let verdict = ister(&["boot", image, "--format", "json"], &[], 0);
                    let why = match verdict {
                        Ok(verdict) if verdict["class"] == "login-prompt" => continue,
                        Ok(verdict) => format!("{verdict:#}"),
                        Err(why) => why.message().unwrap_or("failed").to_owned(),
                    };
                    failures.lock().expect("no thread panics").push(why);
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no thread panics");
    expect(failures.is_empty(), &failures.join("\n\n"))
}

fn open(path: &Path) -> Result<File, Failed> {
    File::options().read(true).write(true).open(path).map_err(|e| e.to_string().into())
}

fn empty(broken: &Broken) -> Outcome {
    let file = open(&broken.image)?;
    let size = file.metadata().map_err(|e| e.to_string())?.len();
    file.set_len(0).and_then(|()| file.set_len(size)).map_err(|e| e.to_string().into())
}

fn sgdisk(broken: &Broken, what: &str) -> Outcome {
    run("sgdisk", &[what, broken.image.to_str().unwrap()]).map(|_| ())
}

/// Replaces the boot code with a jump to itself.
fn hang_in_boot_code(broken: &Broken) -> Outcome {
    open(&broken.image)?.write_all_at(&[0xeb, 0xfe], 0).map_err(|e| e.to_string().into())
}

/// The only file in the kernel's directory whose name has this prefix, as an mtools path.
fn in_esp(broken: &Broken, name: &str) -> Result<String, Failed> {
    let listed = run("mdir", &["-/", "-b", "-i", &broken.esp(), "::/debian"])?;
    let found =
        listed.lines().find(|line| line.rsplit('/').next().is_some_and(|last| last.starts_with(name)));
    Ok(found.ok_or(format!("no `{name}` in the ESP:\n{listed}"))?.trim().to_owned())
}

fn esp(broken: &Broken, program: &str, args: &[&str]) -> Outcome {
    run(program, &[&["-i", &broken.esp()][..], args].concat()).map(|_| ())
}

/// Changes the only kernel on the ESP without changing its size.
fn replace_kernel(broken: &Broken, change: fn(&mut [u8])) -> Outcome {
    let name = &in_esp(broken, "linux")?;
    let local = broken.image.with_extension("kernel");
    run("mcopy", &["-n", "-o", "-i", &broken.esp(), name, local.to_str().unwrap()])?;
    let mut bytes = std::fs::read(&local).map_err(|e| e.to_string())?;
    change(&mut bytes);
    std::fs::write(&local, bytes).map_err(|e| e.to_string())?;
    run("mcopy", &["-o", "-i", &broken.esp(), local.to_str().unwrap(), name])?;
    std::fs::remove_file(&local).map_err(|e| e.to_string().into())
}

/// Overwrites the compressed payload but not the headers, so that the kernel cannot be unpacked.
fn spoil_payload(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle..middle + (256 << 10)].fill(0xa5);
}

/// Replaces the entry point with a jump to itself. Source: Microsoft PE Format, "Optional Header"; the layout of Linux
/// in memory is that of the file.
fn hang_at_entry(bytes: &mut [u8]) {
    let number = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
    };
    let header = number(bytes, 0x3c);
    let entry = number(bytes, header + 0x28);
    bytes[entry..entry + 2].copy_from_slice(&[0xeb, 0xfe]);
}

fn entry(broken: &Broken, change: fn(String) -> String) -> Outcome {
    broken.edit_entry(|text| {
        let changed = change(text.to_owned());
        assert_ne!(text, changed);
        changed
    })
}

fn without_initrd(text: String) -> String {
    text.lines().filter(|line| !line.starts_with("initrd")).map(|line| format!("{line}\n")).collect()
}

fn wrong_root(broken: &Broken) -> Outcome {
    let root = broken.plan["disks"][0]["partitions"]
        .as_array()
        .and_then(|all| all.iter().find(|p| p["mount"] == "/")?["guid"].as_str())
        .ok_or("no root")?;
    broken.edit_entry(|text| {
        assert!(
            text.contains(&format!("root=PARTUUID={root} ")),
            "the entry does not name the root partition"
        );
        text.replace(root, "00000000-0000-0000-0000-000000000001")
    })
}

fn wipe_root(broken: &Broken) -> Outcome {
    open(&broken.image)?
        .write_all_at(&vec![0; 16 << 20], broken.offset("/"))
        .map_err(|e| e.to_string().into())
}

/// Runs debugfs commands on the root filesystem, an ext4.
fn debugfs(broken: &Broken, commands: &str) -> Outcome {
    let script = broken.image.with_extension("debugfs");
    std::fs::write(&script, commands).map_err(|e| e.to_string())?;
    let device = format!("{}?offset={}", broken.image.display(), broken.offset("/"));
    run("debugfs", &["-w", "-f", script.to_str().unwrap(), &device])?;
    std::fs::remove_file(&script).map_err(|e| e.to_string().into())
}

fn remove_kernel(broken: &Broken) -> Outcome {
    let device = format!("{}?offset={}", broken.image.display(), broken.offset("/"));
    let names = run("debugfs", &["-R", "ls -p /boot", &device])?;
    let name = names.split('/').find(|name| name.starts_with("vmlinuz-")).ok_or("no kernel")?;
    debugfs(broken, &format!("rm /boot/{name}\n"))
}

/// Writes a file to the root filesystem, replacing an existing one.
fn put(broken: &Broken, path: &str, text: &str) -> Outcome {
    put_with_mode(broken, path, text, "0100644")
}

fn put_with_mode(broken: &Broken, path: &str, text: &str, mode: &str) -> Outcome {
    let local = broken.image.with_extension("file");
    std::fs::write(&local, text).map_err(|e| e.to_string())?;
    let local_name = local.to_str().unwrap();
    debugfs(broken, &format!("rm {path}\nwrite {local_name} {path}\nset_inode_field {path} mode {mode}\n"))?;
    std::fs::remove_file(&local).map_err(|e| e.to_string().into())
}

/// Installs a script as process 1.
fn init(broken: &Broken, script: &str) -> Outcome {
    put_with_mode(broken, "/usr/sbin/init", &format!("#!/bin/sh\n{script}\n"), "0100755")
}

/// An ext4 without a root directory on the swap partition, listed in fstab.
fn damaged_second_filesystem(broken: &Broken) -> Outcome {
    let (start, size) = broken.place(2);
    let offset = format!("offset={start}");
    let size = format!("{}k", size >> 10);
    run(
        "mke2fs",
        &["-q", "-F", "-t", "ext4", "-L", "second", "-E", &offset, broken.image.to_str().unwrap(), &size],
    )?;
    let device = format!("{}?{offset}", broken.image.display());
    run("debugfs", &["-w", "-R", "clri <2>", &device])?;
    // Otherwise fsck would skip it as clean.
    run("debugfs", &["-w", "-R", "set_super_value state 2", &device])?;
    run("sgdisk", &["--typecode=2:8300", broken.image.to_str().unwrap()])?;
    put(broken, "/etc/fstab", "LABEL=second /srv ext4 defaults 0 2\n")
}

fn mount_unit(broken: &Broken) -> Outcome {
    put(
        broken,
        "/etc/systemd/system/srv.mount",
        "[Unit]\nBefore=local-fs.target\n[Mount]\nWhat=/dev/disk/by-label/nowhere\nWhere=/srv\nType=ext4\n",
    )?;
    debugfs(
        broken,
        "symlink /etc/systemd/system/local-fs.target.wants/srv.mount ../srv.mount\n\
                     mkdir /etc/systemd/system/local-fs.target.requires\n\
                     symlink /etc/systemd/system/local-fs.target.requires/srv.mount ../srv.mount\n",
    )
}

fn hanging_service(broken: &Broken) -> Outcome {
    put(
        broken,
        "/etc/systemd/system/hang.service",
        "[Unit]\nDescription=something that never ends\nBefore=getty.target serial-getty@ttyS0.service\n\
         [Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n",
    )?;
    debugfs(broken, "symlink /etc/systemd/system/multi-user.target.wants/hang.service ../hang.service\n")
}

fn mask_getty(broken: &Broken) -> Outcome {
    debugfs(broken, "symlink /etc/systemd/system/serial-getty@ttyS0.service /dev/null\n")
}

/// Sets the test password for root and removes all other users.
fn root_password(broken: &Broken) -> Outcome {
    let hash = run("openssl", &["passwd", "-6", "-salt", "broken", "a password for ada"])?;
    put_with_mode(broken, "/etc/shadow", &format!("root:{}:19000:0:99999:7:::\n", hash.trim()), "0100640")
}

fn read_only_root(broken: &Broken) -> Outcome {
    root_password(broken)?;
    entry(broken, |text| text.replace(" rw ", " ro "))
}

fn full_root(broken: &Broken) -> Outcome {
    root_password(broken)?;
    fill_root(broken)
}

/// A getty that prints its prompt and exits after two seconds.
fn getty_that_ends(broken: &Broken) -> Outcome {
    put(
        broken,
        "/etc/systemd/system/serial-getty@ttyS0.service",
        "[Service]\nType=oneshot\nStandardOutput=tty\nTTYPath=/dev/ttyS0\n\
         ExecStart=/bin/sh -c 'printf \"\\nkvm login: \"; sleep 2'\n",
    )
}

fn no_default_target(broken: &Broken) -> Outcome {
    debugfs(
        broken,
        "symlink /etc/systemd/system/default.target /dev/null\nsymlink /etc/systemd/system/rescue.target /dev/null\n",
    )
}

/// A menu with several entries and without a timeout.
fn grub_menu(broken: &Broken) -> Outcome {
    let device = format!("{}?offset={}", broken.image.display(), broken.offset("/"));
    let text = run("debugfs", &["-R", "cat /boot/grub/grub.cfg", &device])?;
    let waits: String =
        text.lines().filter(|line| !line.contains("timeout")).map(|line| format!("{line}\n")).collect();
    put(broken, "/boot/grub/grub.cfg", &format!("{waits}set timeout=-1\n"))
}

/// Fills the filesystem, including the blocks reserved for root, with one file. The blocks of its own extents remain.
fn fill_root(broken: &Broken) -> Outcome {
    let device = format!("{}?offset={}", broken.image.display(), broken.offset("/"));
    let said = run("debugfs", &["-R", "stats -h", &device])?;
    let free = said.lines().find_map(|line| line.strip_prefix("Free blocks:")?.trim().parse::<u64>().ok());
    let free = free.ok_or("debugfs did not report the free blocks")?;
    put(broken, "/fill", "")?;
    debugfs(broken, &format!("fallocate /fill 0 {}\n", free - 40))
}
