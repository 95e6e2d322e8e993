//! Builds images and boots them. The published types must reach their login prompt; deliberately broken images must get
//! the right class and must not pass. The tests run one at a time and in order, because later tests use images of
//! earlier ones.
//!
//! Slow tests are ignored by default (`make test-all` runs them).
//!
//! The images are in `target/vm-tests/`, with the reports of failed boots.

#![allow(clippy::print_stderr, reason = "skipped tests have to be visible")]

mod broken;
mod checks;
mod clouds;
mod command_line;
mod dnf;
mod foreign;
mod growth;
mod hosts;
mod installer;
mod mutants;
mod network;
mod releases;
mod replay;
mod slurm;
mod swupd;
mod tutorial;
mod types;
mod updates;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

type Outcome = Result<(), Failed>;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let world = Arc::new(World::new());
    let trial = |name: &str, test: fn(&World) -> Outcome| {
        let world = Arc::clone(&world);
        Trial::ignorable_test(name, move || {
            test(&world)?;
            Ok(SKIPPED.take().map_or(Completion::Completed, Completion::ignored_with))
        })
    };
    let long = |name: &str, test: fn(&World) -> Outcome| trial(name, test).with_ignored_flag(true);
    let trials = vec![
        trial("kvm_builds_boots_and_gets_a_receipt", |w| w.published("kvm")),
        trial("kvm_legacy_is_proven_as_a_type_and_published", types::kvm_legacy),
        trial("published_images_verify_in_every_format", verify_formats),
        trial("swupd_content_builds_with_mixers_command_and_boots", swupd::swupd),
        trial("tutorial_commands_work", tutorial::every_command_works),
        trial("what_ister_py_did_is_seen_in_the_running_system", compatibility),
        trial("link_in_the_esp_is_rejected", link_in_esp),
        trial("broken_no_loader_in_the_esp", no_loader),
        trial("some_transcripts_get_the_expected_class", replay::some),
        long("all_transcripts_get_the_expected_class", replay::every_one),
        long("broken_images_get_the_expected_class", broken::every_kind),
        long("a_kernel_update_of_the_kvm_type_takes_effect", types::kvm_update),
        long("kernel_update_on_a_full_esp_fails_and_the_old_kernel_boots", updates::full_esp),
        long("static_addresses_are_used_with_all_key_combinations", network::static_addresses),
        long("special_characters_in_command_lines_reach_the_kernel", command_line::every_loader),
        long("each_check_fails_if_what_it_checks_is_broken", checks::web_server),
        long("a_boot_fails_if_the_cloud_or_its_use_is_broken", clouds::controls),
        long("images_of_other_builders_reach_their_prompt", foreign::images_of_other_builders),
        long("verify_predicts_the_boot_of_mutants", mutants::verify_predicts_the_boot),
        long("a_good_image_boots_twenty_times", broken::twenty_boots),
        long("full_host_disk_is_reported_as_a_host_error", full_disk),
        long("filesystems_of_all_kinds_are_mounted_as_planned", filesystems),
        long("xfs_and_btrfs_roots_grow_with_the_disk", growth::other_roots),
        long("an_encrypted_root_opens_with_its_passphrase", encrypted),
        long("rpm_content_installed_with_dnf_boots", dnf::dnf),
        long("unattended_installation_boots", installer::installer),
        long("a_node_of_a_slurm_cluster_dies_and_nothing_is_lost", slurm::a_node_dies),
        long("content_of_every_debian_release_boots_healthy", releases::every_release),
        long("readme_commands_build_identical_images_on_debian_12_and_13", hosts::same_bytes_on_every_host),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

thread_local! {
    /// Why the running test has to be skipped.
    static SKIPPED: Cell<Option<String>> = const { Cell::new(None) };
}

/// Skips a test that cannot run on this host. If `CI` is set, this is a failure.
fn skip(reason: &str) -> Outcome {
    expect(std::env::var_os("CI").is_none(), &format!("this test must not be skipped in CI: {reason}"))?;
    SKIPPED.set(Some(reason.to_owned()));
    Ok(())
}

struct World {
    directory: PathBuf,
}

impl World {
    fn new() -> World {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("vm-tests");
        std::fs::create_dir_all(&directory).expect("target/ is writable");
        World { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Builds a type of `vm-tests/` and boots it, as `make demo` does.
    fn published(&self, name: &str) -> Outcome {
        let template = format!("vm-tests/{name}/template.json");
        let report = self.path(&format!("{name}-report"));
        let answer = ister(
            &["build", &template, "--boot-test", "--format", "json"],
            &[("-o", &self.directory), ("--report", &report)],
            0,
        )?;
        let receipt = &answer["receipt"];
        let image = self.path(&format!("{name}.img"));
        // Replaces `sha256sum`, which takes half a minute to read the holes of a large image.
        let digest = "import hashlib, os, sys
h, at, f = hashlib.sha256(), 0, os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(f).st_size
while at < size:
    try: start = os.lseek(f, at, os.SEEK_DATA)
    except OSError: start = size
    while at < start:
        n = min(1 << 20, start - at); h.update(bytes(n)); at += n
    end = os.lseek(f, at, os.SEEK_HOLE) if at < size else at
    while at < end:
        b = os.pread(f, min(1 << 20, end - at), at); h.update(b); at += len(b)
print(h.hexdigest())";
        let hash = run("python3", &["-c", digest, image.to_str().unwrap()])?;
        expect(
            hash.starts_with(receipt["sha256"].as_str().unwrap_or("none")),
            "the receipt is for another file",
        )?;
        expect(receipt["verdict"]["class"] == "login-prompt", "the boot did not reach its login prompt")?;
        let stages: Vec<&str> = receipt["verdict"]["stages"]
            .as_array()
            .ok_or("no stages")?
            .iter()
            .filter_map(|stage| stage["stage"].as_str())
            .collect();
        expect(
            stages == ["firmware", "loader", "kernel", "initramfs", "init", "login"],
            &format!("stages are missing: {stages:?}"),
        )?;
        let log = std::fs::read_to_string(report.join("serial.log")).map_err(|e| e.to_string())?;
        expect(
            log.contains(&format!("{name} login: ")),
            "the prompt does not show the template's host name",
        )?;
        let picture = std::fs::read(report.join("screen.png")).map_err(|e| e.to_string())?;
        expect(picture.starts_with(b"\x89PNG"), "there is no screenshot")
    }

    /// Boots an image and expects a class. The image must not be modified.
    fn boot(&self, image: &str, class: &str) -> Outcome {
        let path = self.path(image);
        let report = self.path(&format!("{image}-report"));
        let state = |path: &Path| {
            use std::os::unix::fs::MetadataExt;
            path.metadata().map(|m| (m.mtime(), m.mtime_nsec(), m.len())).map_err(|e| e.to_string())
        };
        let before = state(&path)?;
        let code = if class == "login-prompt" { 0 } else { 1 };
        let args = ["boot", path.to_str().unwrap(), "--format", "json"];
        let verdict = ister(&args, &[("--report", &report)], code)?;
        expect(verdict["class"] == class, &format!("expected {class}: {verdict:#}"))?;
        expect(
            verdict["lines"].as_array().is_some_and(|lines| !lines.is_empty()),
            "no lines prove the class",
        )?;
        expect(state(&path)? == before, "the image was modified")
    }

    /// A copy of the kvm image to be broken.
    fn copy_of_kvm(&self, name: &str) -> Result<Broken, Failed> {
        self.copy_of("kvm.img", name)
    }

    fn copy_of(&self, from: &str, name: &str) -> Result<Broken, Failed> {
        let image = self.path(name);
        let good = self.path(from);
        run("cp", &["--sparse=always", "--reflink=auto", good.to_str().unwrap(), image.to_str().unwrap()])?;
        let (from, to) = (self.path(&format!("{from}.plan.json")), self.path(&format!("{name}.plan.json")));
        std::fs::copy(&from, to).map_err(|e| e.to_string())?;
        let plan: Value = serde_json::from_slice(&std::fs::read(from).map_err(|e| e.to_string())?)
            .map_err(|e| e.to_string())?;
        Ok(Broken { image, plan })
    }
}

struct Broken {
    image: PathBuf,
    plan: Value,
}

impl Broken {
    /// The offset of the partition with this mount point, in bytes.
    fn offset(&self, mount: &str) -> u64 {
        let partitions = self.plan["disks"][0]["partitions"].as_array().expect("a plan has partitions");
        let partition =
            partitions.iter().find(|p| p["mount"] == mount).expect("the partition has a mount point");
        partition["first_lba"].as_u64().expect("a number") * 512
    }

    /// Offset and size of a partition, in bytes.
    fn place(&self, number: u64) -> (u64, u64) {
        let partitions = self.plan["disks"][0]["partitions"].as_array().expect("a plan has partitions");
        let partition = partitions.iter().find(|p| p["number"] == number).expect("the partition exists");
        let field = |name: &str| partition[name].as_u64().expect("a number");
        (field("first_lba") * 512, field("size"))
    }

    /// Edits the only loader entry.
    fn edit_entry(&self, change: impl Fn(&str) -> String) -> Outcome {
        let entries = run("mdir", &["-b", "-i", &self.esp(), "::/loader/entries"])?;
        let entry = entries.lines().next().ok_or("no entry")?.trim();
        let local = self.image.with_extension("conf");
        let local_name = local.to_str().unwrap();
        run("mcopy", &["-n", "-o", "-i", &self.esp(), entry, local_name])?;
        let text = std::fs::read_to_string(&local).map_err(|e| e.to_string())?;
        std::fs::write(&local, change(&text)).map_err(|e| e.to_string())?;
        run("mcopy", &["-o", "-i", &self.esp(), local_name, entry])?;
        std::fs::remove_file(&local).map_err(|e| e.to_string().into())
    }

    /// The ESP as an mtools argument.
    fn esp(&self) -> String {
        format!(
            "{}@@{}",
            self.image.display(),
            self.offset(self.plan["boot"]["esp"].as_str().expect("the image boots with UEFI"))
        )
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        for path in [self.image.clone(), PathBuf::from(format!("{}.plan.json", self.image.display()))] {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A good image has no findings in any format.
fn verify_formats(world: &World) -> Outcome {
    // kvm-legacy was built from a template with another command line.
    let legacy = world.path("types-kvm-legacy/kvm-legacy/template.json");
    for (template, image) in
        [(PathBuf::from("vm-tests/kvm/template.json"), "kvm.img"), (legacy, "test/kvm-legacy/kvm-legacy.img")]
    {
        ister(&["verify", world.path(image).to_str().unwrap()], &[("-t", &template)], 0)?;
    }
    let image = world.path("kvm.img");
    for (format, ending) in [("qcow2", "qcow2"), ("vhdx", "vhdx")] {
        let other = world.path(&format!("kvm.{ending}"));
        let (from, to) = (image.to_str().unwrap(), other.to_str().unwrap());
        run("qemu-img", &["convert", "-f", "raw", "-O", format, from, to])?;
        let plan = world.path("kvm.img.plan.json");
        ister(&["verify", to, "--plan", plan.to_str().unwrap()], &[], 0)?;
        std::fs::remove_file(other).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// A full host disk during a boot is reported as an error of the host.
fn full_disk(world: &World) -> Outcome {
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let report = world.path("full-report");
    let script = r#"mount -t tmpfs -o size=3m none "$1"; export TMPDIR="$1"; shift; exec "$@""#;
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-ec", script, "sh"])
        .arg(scratch.path())
        .args([env!("CARGO_BIN_EXE_ister"), "boot"])
        .arg(world.path("kvm.img"))
        .args(["--format", "json", "--report"])
        .arg(&report)
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    expect(output.status.code() == Some(3), &format!("{said}{}", String::from_utf8_lossy(&output.stderr)))?;
    let verdict: Value = serde_json::from_str(&said).map_err(|e| e.to_string())?;
    expect(
        verdict["class"] == "emulator-failed" && verdict["outcome"] == "infrastructure",
        &format!("{verdict:#}"),
    )?;
    expect(said.contains("the host has no space left for the guest's disk"), &said)?;
    // Each attempt leaves its log.
    expect(
        report.join("serial-1.log").exists() && report.join("serial-2.log").exists(),
        "expected the logs of three attempts",
    )
}

/// XFS as the root and all other filesystems on a disk with large sectors, with checks by a user in the guest.
fn filesystems(world: &World) -> Outcome {
    let args = ["build", "vm-tests/filesystems/template.json", "-q", "--sector-size", "4096"];
    ister(&args, &[("-o", &world.directory)], 0)?;
    let image = world.path("filesystems.img");
    let image = image.to_str().unwrap();
    ister(&["verify", image], &[], 0)?;
    let report = world.path("filesystems-report");
    let inside = ["--login", "ada=env:ISTER_TEST_PASSWORD", "--run", "cat /srv/hello /var/lib/data/hello"];
    let args = [&["boot", image, "--format", "json"][..], &inside].concat();
    let verdict = ister(&args, &[("--report", &report)], 0)?;
    let answers = verdict["answers"].as_array().ok_or("no answers")?;
    let hello = &answers.last().ok_or("no answers")?["lines"];
    expect(
        *hello == serde_json::json!(["from srv", "from data"]),
        &format!("unexpected file contents: {hello}"),
    )?;
    std::fs::remove_file(image).map_err(|e| e.to_string().into())
}

/// An encrypted root prompts for its passphrase on the console. The harness types it, and a wrong passphrase has its
/// own class.
fn encrypted(world: &World) -> Outcome {
    ister(&["build", "vm-tests/encrypted/template.json", "-q"], &[("-o", &world.directory)], 0)?;
    let image = world.path("encrypted.img");
    let image = image.to_str().unwrap();
    ister(&["verify", image, "--unlock", "env:ISTER_TEST_ROOT", "--unlock", "env:ISTER_TEST_HOME"], &[], 0)?;
    let report = world.path("encrypted-report");
    let unlock = ["--unlock", "cryptroot=env:ISTER_TEST_ROOT", "--unlock", "crypthome=env:ISTER_TEST_HOME"];
    let login = ["--login", "ada=env:ISTER_TEST_PASSWORD"];
    let args = [&["boot", image, "--format", "json"][..], &unlock, &login].concat();
    let verdict = ister(&args, &[("--report", &report)], 0)?;
    expect(verdict["class"] == "login-prompt", "the boot did not reach its login prompt")?;
    let log = std::fs::read_to_string(report.join("serial.log")).map_err(|e| e.to_string())?;
    for (_, secret) in SECRETS {
        expect(!log.contains(secret), "the log contains a secret")?;
    }
    let args = ["boot", image, "--format", "json", "--unlock", "cryptroot=env:ISTER_TEST_HOME"];
    let verdict = ister(&args, &[("--report", &report)], 1)?;
    expect(
        verdict["class"] == "passphrase-refused",
        &format!("a wrong passphrase must be rejected: {verdict:#}"),
    )?;
    std::fs::remove_file(image).map_err(|e| e.to_string().into())
}

/// Secrets that templates and commands of these tests read from the environment.
const SECRETS: &[(&str, &str)] = &[
    ("ISTER_TEST_ROOT", "the root's own passphrase"),
    ("ISTER_TEST_HOME", "another one for home"),
    ("ISTER_TEST_PASSWORD", "a password for ada"),
];

/// The compatibility mode for ister.py, with users, a static address, a mirror and hooks. All results are checked in
/// the guest over ssh.
fn compatibility(world: &World) -> Outcome {
    let directory = world.path("compatibility");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).map_err(|e| e.to_string())?;
    let path = |name: &str| directory.join(name);
    let (key, log) = (path("key"), path("log"));
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key.to_str().unwrap()])?;
    let hash = run("openssl", &["passwd", "-6", "-salt", "compatibility", "a password for ada"])?;
    std::fs::write(path("hash"), &hash).map_err(|e| e.to_string())?;
    let key_file = path("key.pub");
    let users = serde_json::json!([
        {
            "username": "ada", "uid": "1234", "fullname": "Ada Lovelace", "sudo": true,
            "key": key_file, "password": { "file": path("hash") },
        },
        { "username": "bob", "sudo": true, "key": key_file },
        // A user that exists on every Debian system.
        { "username": "backup", "sudo": true, "fullname": "Backups", "password": { "file": path("hash") } },
    ]);
    let program = path("ister.py");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ister"), &program).map_err(|e| e.to_string())?;
    let output = Command::new(&program)
        .args(["-t", "template.json", "--set", &format!("Users={users}")])
        .arg("-o")
        .arg(&directory)
        .arg("-l")
        .arg(&log)
        // As in ister.py, relative paths start at the working directory.
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/vm-tests/compatibility"))
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    expect(output.status.success(), &said)?;
    expect(
        said.contains("terminated 1 process"),
        &format!("the daemon of a hook must be terminated: {said}"),
    )?;
    let logged = std::fs::read_to_string(&log).map_err(|e| e.to_string())?;
    expect(logged.contains(" debug: running: mke2fs "), "the log does not contain the commands")?;
    expect(!logged.contains(hash.trim()), "the log contains a secret")?;

    let boot = |user: &str, commands: &[&str]| -> Result<Vec<String>, Failed> {
        let image = path("compatibility.img");
        let ssh = format!("{user}={}", key.display());
        let mut args = vec!["boot", image.to_str().unwrap(), "--format", "json", "--ssh", &ssh];
        args.extend(["--login", "ada=env:ISTER_TEST_PASSWORD"]);
        args.extend(commands.iter().flat_map(|command| ["--run", command]));
        let verdict = ister(&args, &[("--report", &path("report"))], 0)?;
        let answers = verdict["answers"].as_array().ok_or("no answers")?;
        let lines = |answer: &Value| {
            let lines = answer["lines"].as_array().into_iter().flatten().filter_map(Value::as_str);
            lines.collect::<Vec<_>>().join("\n")
        };
        Ok(answers[answers.len() - commands.len()..].iter().map(lines).collect())
    };
    let seen = boot(
        "bob",
        &[
            "sudo -n id -un",
            "hostnamectl hostname; cat /proc/cmdline",
            "ip -4 -br addr show scope global; ip route show default; resolvectl dns",
            "getent passwd ada; id -nG ada; sudo -n stat -c '%U:%G %a' /home/ada /home/ada/.ssh/authorized_keys \
             /home/ada/.profile",
            "cat /etc/apt/sources.list; ls /from-*; cat /from-post-chroot",
            "sudo -n getent shadow root bob | cut -d: -f1,2",
            "echo 'a password for ada' | sudo -n -u ada sh -c 'sudo -n true 2>/dev/null || sudo -S -p \"\" id'",
            "getent passwd backup; id -nG backup; sudo -n getent shadow backup | cut -d: -f2 | cut -c1-3",
        ],
    )?;
    for (index, wanted) in [
        (0, "root"),
        (1, "compatibility-host\n"),
        (1, " quiet ister.compatibility=1 ister.hook=1"),
        (2, "10.0.2.15/24"),
        (2, "default via 10.0.2.2"),
        (2, "10.0.2.3"),
        (3, "ada:x:1234:1234:Ada Lovelace:/home/ada:/bin/bash\nada sudo\n"),
        (3, "ada:ada 700\nada:ada 600\nada:ada 644"),
        (4, "deb http://mirror.example.org/debian bookworm main"),
        (4, "/from-post-chroot\n/from-post-chroot-shell\n/from-post-non-chroot-shell\ncompatibility-host"),
        (5, "root:!\nbob:!"),
        (6, "uid=0(root)"),
        (7, "backup:x:34:34:Backups:/var/backups:"),
        (7, "backup sudo\n$6$"),
    ] {
        expect(seen[index].contains(wanted), &format!("expected `{wanted}` in:\n{}", seen[index]))?;
    }
    std::fs::remove_dir_all(&directory).map_err(|e| e.to_string().into())
}

/// A symbolic link created by a hook must not copy a host file into the image.
fn link_in_esp(world: &World) -> Outcome {
    let hook = r#"PostChrootShell=["ln -s /etc/hostname /efi/leak"]"#;
    let args = ["build", "vm-tests/kvm/template.json", "--set", hook, "-q"];
    let directory = world.path("link");
    let _ = std::fs::remove_dir_all(&directory);
    ister(&args, &[("-o", &directory)], 1)?;
    expect(std::fs::read_dir(&directory).is_ok_and(|mut d| d.next().is_none()), "a failed build left files")
}

fn no_loader(world: &World) -> Outcome {
    let broken = world.copy_of_kvm("no-loader.img")?;
    run("mdeltree", &["-i", &broken.esp(), "::/EFI"])?;
    world.boot("no-loader.img", "no-bootable-device")
}

/// Runs ister, checks its exit code, and returns its JSON output, or null for other output.
fn ister(args: &[&str], paths: &[(&str, &Path)], code: i32) -> Result<Value, Failed> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ister"));
    command
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .envs(SECRETS.iter().copied());
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    let output = command.output().map_err(|e| e.to_string())?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let said = format!("{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    expect(
        output.status.code() == Some(code),
        &format!("expected exit code {code}: {}\n{said}", output.status),
    )?;
    Ok(serde_json::from_str(&stdout).unwrap_or_default())
}

fn run(program: &str, args: &[&str]) -> Result<String, Failed> {
    let output = Command::new(program)
        .args(args)
        .env("MTOOLS_SKIP_CHECK", "1")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    expect(
        output.status.success(),
        &format!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr)),
    )?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn expect(condition: bool, what: &str) -> Outcome {
    if condition { Ok(()) } else { Err(what.into()) }
}
