//! Builds of a small image without a kernel, with real content: what is left behind, what is reused, and what is

#![allow(clippy::print_stderr, reason = "a skip has to be visible")]
//! said when it cannot work. One build at a time: they are heavy.
//!
//! What a test needs and the host does not allow is a visible skip, and a failure where CI is set.

mod common;

use common::{ister, text};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

static HEAVY: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    HEAVY.lock().unwrap_or_else(|e| e.into_inner())
}

fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI must be able to run this: {reason}");
    eprintln!("skipped: {reason}");
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// An image without kernel: nothing boots it, everything else is as with others.
const TEMPLATE: &str = r#"{
    "DestinationType": "virtual",
    "PartitionLayout": [
        { "disk": "small.img", "partition": 1, "size": "16M", "type": "swap" },
        { "disk": "small.img", "partition": 2, "size": "1G", "type": "linux" },
        { "disk": "small.img", "partition": 3, "size": "64M", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "small.img", "partition": 1, "type": "swap", "label": "swap" },
        { "disk": "small.img", "partition": 2, "type": "ext4", "label": "root" },
        { "disk": "small.img", "partition": 3, "type": "ext2", "options": "-m 0" }
    ],
    "PartitionMountPoints": [
        { "disk": "small.img", "partition": 2, "mount": "/" },
        { "disk": "small.img", "partition": 3, "mount": "/home" }
    ],
    "SoftwareManager": "apt",
    "Version": "bookworm",
    "Bundles": ["os-core"],
    "Users": [{ "username": "ada", "uid": 1234, "password": "$6$salt$topsecrethash", "sudo": true,
                "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada@home" }],
    "Hostname": "small"
}
"#;

/// What a build writes.
const WRITTEN: [&str; 4] = ["small.img", "small.img.packages", "small.img.plan.json", "small.img.spdx.json"];

/// A directory for one test: template, output and cache.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("small.json"), TEMPLATE).unwrap();
        Place { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn build(&self, more: &[&str]) -> Command {
        let mut command = ister(&["build"]);
        command.arg(self.path("small.json")).arg("-o").arg(self.path("out"));
        // The content that most tests need is fetched once for all of them.
        command.arg("--cache-dir").arg(shared_cache()).args(more);
        command
    }
}

fn shared_cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Mounts and loop devices of the host: a build must not add any.
fn host_state() -> (String, String) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let loops = Command::new("losetup").arg("-a").output().map(|o| text(&o.stdout)).unwrap_or_default();
    (mounts, loops)
}

fn ok(output: &Output) {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

fn run(program: &str, args: &[&str]) -> String {
    let path = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
    let output = Command::new(program).args(args).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The image agrees with its plan, as programs see it that have nothing to do with ister.
fn agrees_with_plan(image: &Path) {
    let plan: serde_json::Value =
        serde_json::from_slice(&std::fs::read(format!("{}.plan.json", image.display())).unwrap()).unwrap();
    let plan = &plan["disks"][0];
    let image = image.to_str().unwrap();
    let table: serde_json::Value = serde_json::from_str(&run("sfdisk", &["--json", image])).unwrap();
    let table = &table["partitiontable"];
    let lower = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_lowercase();
    assert_eq!(lower(&table["id"]), lower(&plan["guid"]));
    let partitions = plan["partitions"].as_array().unwrap();
    assert_eq!(table["partitions"].as_array().unwrap().len(), partitions.len());
    for (seen, planned) in table["partitions"].as_array().unwrap().iter().zip(partitions) {
        assert_eq!(seen["start"], planned["first_lba"]);
        assert_eq!(
            seen["size"].as_u64().unwrap(),
            planned["last_lba"].as_u64().unwrap() - planned["first_lba"].as_u64().unwrap() + 1
        );
        assert_eq!(lower(&seen["type"]), lower(&planned["type_guid"]));
        assert_eq!(lower(&seen["uuid"]), lower(&planned["guid"]));
        assert_eq!(seen["name"], planned["name"]);
        let offset = (planned["first_lba"].as_u64().unwrap() * 512).to_string();
        let size = planned["size"].as_u64().unwrap().to_string();
        let probe = run("blkid", &["-p", "-O", &offset, "-S", &size, "-o", "export", image]);
        let filesystem = &planned["filesystem"];
        for (key, value) in [("TYPE", &filesystem["type"]), ("UUID", &filesystem["uuid"])] {
            let line = format!("{key}={}", value.as_str().unwrap());
            assert!(probe.lines().any(|l| l == line), "{line} in {probe}");
        }
        if let Some(label) = filesystem["label"].as_str() {
            assert!(probe.lines().any(|l| l == format!("LABEL={label}")), "{probe}");
        }
    }
    let verified = run("sgdisk", &["-v", image]);
    assert!(verified.contains("No problems found"), "{verified}");
}

#[test]
fn an_image_agrees_with_its_plan_and_nothing_else_is_left() {
    let _one = one_at_a_time();
    let place = Place::new();
    let before = host_state();
    let output = place.build(&["--format", "json"]).output().unwrap();
    ok(&output);
    assert_eq!(host_state(), before);
    assert_eq!(names(&place.path("out")), WRITTEN);
    assert_eq!(names(&shared_cache().join("work")), [""; 0]);
    let image = place.path("out/small.img");
    agrees_with_plan(&image);

    use std::os::unix::fs::MetadataExt;
    let metadata = image.metadata().unwrap();
    assert_eq!(metadata.len(), (1 + 16 + 1024 + 64 + 1) << 20);
    assert!(metadata.blocks() * 512 < metadata.len() / 2, "the image is sparse");

    // Each filesystem is clean, and holds what it should.
    let part = |number: u64, offset: u64, size: u64| {
        let path = place.path(&format!("part{number}"));
        let (skip, count) = (format!("skip={}", offset), format!("count={size}"));
        let (from, to) = (format!("if={}", image.display()), format!("of={}", path.display()));
        run("dd", &[&from, &to, "bs=1M", &skip, &count, "conv=sparse", "status=none"]);
        path.to_str().unwrap().to_owned()
    };
    let (root, home) = (part(2, 17, 1024), part(3, 1041, 64));
    for filesystem in [&root, &home] {
        run("e2fsck", &["-fn", filesystem]);
    }
    let read = |filesystem: &str, path: &str| run("debugfs", &["-R", &format!("cat {path}"), filesystem]);
    assert_eq!(read(&root, "/etc/hostname"), "small\n");
    assert!(read(&root, "/etc/passwd").contains("\nada:x:1234:1234::/home/ada:/bin/bash\n"));
    assert!(read(&root, "/etc/shadow").contains("\nada:$6$salt$topsecrethash:"));
    assert!(read(&root, "/etc/group").lines().any(|l| l.starts_with("sudo:") && l.ends_with(":ada")));
    assert_eq!(read(&root, "/etc/machine-id"), "");
    assert_eq!(
        read(&home, "/ada/.ssh/authorized_keys"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada@home\n"
    );
    let home_in_root = run("debugfs", &["-R", "ls -p /home", &root]);
    assert!(!home_in_root.contains("ada"), "{home_in_root}");
    let owner = run("debugfs", &["-R", "stat /ada", &home]);
    assert!(owner.contains("User:  1234   Group:  1234"), "{owner}");
    for leak in ["/etc/apt/apt.conf.d/99mmdebstrap", "/etc/resolv.conf", "/etc/apt/preferences.d/ister"] {
        let output =
            Command::new("/sbin/debugfs").args(["-R", &format!("stat {leak}"), &root]).output().unwrap();
        assert!(text(&output.stderr).contains("File not found"), "{leak}");
    }
    // What is in it, for people and for programs.
    let list = std::fs::read_to_string(place.path("out/small.img.packages")).unwrap();
    assert!(list.lines().any(|line| line.starts_with("libc6\t") && line.contains("\tglibc\t")), "{list}");
    let sbom = std::fs::read(place.path("out/small.img.spdx.json")).unwrap();
    let sbom: serde_json::Value = serde_json::from_slice(&sbom).unwrap();
    assert_eq!(
        sbom["packages"].as_array().unwrap().len(),
        list.lines().count(),
        "the image, and each package"
    );
    // The secret is in the image only.
    let plan = std::fs::read_to_string(place.path("out/small.img.plan.json")).unwrap();
    for said in [plan, text(&output.stdout), text(&output.stderr)] {
        assert!(!said.contains("topsecrethash"), "{said}");
    }

    // A receipt of the image before says nothing of the new one.
    std::fs::write(place.path("out/small.img.receipt.json"), "{}").unwrap();
    let again = place.build(&["--format", "json", "--set", "Hostname=\"other\""]).output().unwrap();
    ok(&again);
    let json: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(json["content"]["cached"], true);
    assert!(!text(&again.stderr).contains("download"), "{}", text(&again.stderr));
    agrees_with_plan(&image);
    assert_eq!(names(&place.path("out")), WRITTEN);
}

#[test]
fn a_failed_build_leaves_the_older_image_and_says_what_to_do() {
    let _one = one_at_a_time();
    let place = Place::new();
    std::fs::create_dir(place.path("out")).unwrap();
    std::fs::write(place.path("out/small.img"), "older").unwrap();
    for (more, code, said) in [
        (
            ["--set", r#"Bundles=["os-core", "no-such-package"]"#],
            1,
            "the package `no-such-package` does not exist in bookworm",
        ),
        (
            ["-C", "http://127.0.0.1:9/debian"],
            3,
            "the archive cannot be reached: deb http://127.0.0.1:9/debian",
        ),
        (["--set", r#"Version="nosuite""#], 3, "the archive has no suite `nosuite`"),
        (
            ["--set", r#"Users=[{"username": "u", "uid": 4294967295}]"#],
            1,
            "user `u` cannot have uid 4294967295",
        ),
        (
            ["--set", r#"Users=[{"username": "u", "sudo": true, "password": {"env": "ISTER_EMPTY"}}]"#],
            3,
            "the password of user `u` is no crypt(3) hash",
        ),
    ] {
        let output = place.build(&more).env("ISTER_EMPTY", "").output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(said) && stderr.contains("error") && stderr.contains("help: "), "{stderr}");
        assert_eq!(std::fs::read(place.path("out/small.img")).unwrap(), b"older");
        assert_eq!(names(&place.path("out")), ["small.img"]);
        assert_eq!(names(&shared_cache().join("work")), [""; 0]);
    }
    // Too small for its content: known before anything is written, with the line of the template to change.
    let layout = TEMPLATE.replace("\"1G\"", "\"100M\"");
    std::fs::write(place.path("small.json"), layout).unwrap();
    let output = place.build(&[]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("error[plan]: the content does not fit into partition 2 (`/`): it needs "),
        "{stderr}"
    );
    assert!(stderr.contains("small.json:5:56") && stderr.contains("= help: make it "), "{stderr}");
    assert_eq!(std::fs::read(place.path("out/small.img")).unwrap(), b"older");
    // What a hook adds is known only when it has run, and still before anything is written.
    let hook = r#"PostChrootShell=["head -c 80000000 /dev/urandom >/home/large"]"#;
    std::fs::write(place.path("small.json"), TEMPLATE).unwrap();
    let output = place.build(&["--set", hook]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the content does not fit into partition 3 (`/home`): it needs 76."), "{stderr}");
    assert!(stderr.contains("small.json:6:56"), "{stderr}");
    assert_eq!(std::fs::read(place.path("out/small.img")).unwrap(), b"older");
}

#[test]
fn what_a_filesystem_cannot_hold_is_found_before_it_is_made() {
    let _one = one_at_a_time();
    let place = Place::new();
    // What the filesystem cannot hold is said before it is made, with the file and the reason.
    let vfat = TEMPLATE.replace(
        r#""partition": 3, "type": "ext2", "options": "-m 0""#,
        r#""partition": 3, "type": "vfat", "options": "-F 16 -s 4""#,
    );
    std::fs::write(place.path("small.json"), vfat).unwrap();
    for (hook, path, reason) in [
        ("touch /home/Foo.txt /home/foo.txt", "/home/foo.txt", "it has the same name as `Foo.txt`"),
        ("touch '/home/a:b'", "/home/a:b", "vfat does not allow `:` in names"),
        ("truncate -s 4G /home/big", "/home/big", "a file on vfat has at most 4 GiB minus a cluster"),
        (
            "touch /home/own; chown 33 /home/own",
            "/home/own",
            "vfat does not store owners, and the owner is 33:0",
        ),
    ] {
        let hook = format!("PostChrootShell={}", serde_json::json!([hook]));
        let output = place.build(&["--set", &hook, "--set", "Users=[]"]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let said = format!("error[build]: partition 3 (`/home`) cannot store `{path}`: {reason}");
        assert!(stderr.contains(&said) && stderr.contains("small.json:11:"), "{stderr}");
        assert!(!place.path("out/small.img").exists());
    }
    // And what it can hold, it holds: more than its root directory's first cluster, every kind of name, nothing.
    let hook = r#"mkdir -p /home/D/e/F; for i in $(seq 300); do printf $i > "/home/D/long name $i.txt"; done; : > /home/D/none; printf ä > /home/ä€"#;
    let hook = format!("PostChrootShell={}", serde_json::json!([hook]));
    ok(&place.build(&["--set", &hook, "--set", "Users=[]"]).output().unwrap());
}

#[test]
fn building_twice_gives_the_same_bytes_whatever_else_differs() {
    let _one = one_at_a_time();
    let place = Place::new();
    let output = place
        .build(&["--check-reproducible", "--set", r#"Formats=["qcow2", "tar.xz", "oci"]"#])
        .output()
        .unwrap();
    ok(&output);
    assert!(
        text(&output.stderr).contains("the second build gave the same bytes"),
        "{}",
        text(&output.stderr)
    );
    let mut written: Vec<&str> =
        WRITTEN.into_iter().chain(["small.oci.tar", "small.qcow2", "small.tar.xz"]).collect();
    written.sort_unstable();
    assert_eq!(names(&place.path("out")), written);
    if !common::tools_missing(&["skopeo", "xz"]) {
        // Checked and taken apart by another program, its one layer, which is named by its hash, is the tree of the other file.
        // Unpacked: skopeo 1.9 wants to give files of an archive their owner, which only root can.
        let script = r#"mkdir "$1.oci"
            tar -xf "$1/small.oci.tar" -C "$1.oci"
            skopeo --insecure-policy copy -q "oci:$1.oci" "docker-archive:$1.docker.tar"
            tar -tf "$1.docker.tar" "$(xz -dc "$1/small.tar.xz" | sha256sum | cut -c 1-64).tar""#;
        run("sh", &["-ec", script, "sh", place.path("out").to_str().unwrap()]);
    }
    let first = run("sha256sum", &[place.path("out/small.img").to_str().unwrap()]);
    // Where memory is short the tree lies on the disk, whose directories have an order of their own.
    if is_root() {
        let script = r#"
            mount -t tmpfs none /sys/fs/cgroup
            echo 209715200 >/sys/fs/cgroup/memory.max; echo 0 >/sys/fs/cgroup/memory.current
            exec "$ISTER" build "$T" -o "$O" --cache-dir "$C""#;
        ok(&in_own_mounts_with(&place, &shared_cache(), script));
        assert_eq!(run("sha256sum", &[place.path("out/small.img").to_str().unwrap()]), first);
    }
    // Hooks of both kinds write the time that they are told.
    let inside = r#"PostChrootShell=["date -u -d @$SOURCE_DATE_EPOCH >/etc/inside"]"#;
    let outside = r#"PostNonChrootShell=["date -u -d @$SOURCE_DATE_EPOCH >$ISTER_CHROOT/etc/outside"]"#;
    ok(&place.build(&["--check-reproducible", "--set", inside, "--set", outside]).output().unwrap());
    // A hook that writes the time is found out, and where it did is said.
    let hook = r#"PostChrootShell=["date +%N >/etc/stamp"]"#;
    let output = place
        .build(&["--check-reproducible", "--set", hook, "--set", r#"Formats=["tar"]"#])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("partition 2 (`root`) > ext > /etc/stamp > content"), "{said}");
    assert!(said.contains("/etc/stamp: written by PostChrootShell `date +%N >/etc/stamp`"), "{said}");
    assert!(said.contains("out/small.tar: the first difference is at byte "), "{said}");
}

#[test]
fn a_hook_sees_the_tree_and_a_failing_one_stops_the_build() {
    let _one = one_at_a_time();
    let place = Place::new();
    let hooks = |extra: &str| {
        let text = TEMPLATE.replacen('{', &format!("{{{extra},"), 1);
        std::fs::write(place.path("small.json"), text).unwrap();
    };
    let script = place.path("hook.sh");
    std::fs::write(&script, "#!/bin/sh\necho \"from outside\" >\"$1/etc/outside\"\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let out = place.path("before");
    hooks(&format!(
        r#""PreInstallShell": ["echo before >'{}'"], "PostNonChroot": ["{}"],
           "PostNonChrootShell": ["cat $ISTER_CHROOT/etc/outside >$ISTER_CHROOT/etc/outside2"],
           "PostChrootShell": ["id -u >/etc/inside; test -e /proc/self && test -c /dev/null; ls -l /proc/*/fd >/etc/open",
               "set -e; script -qec 'tty >/etc/tty' /dev/null; echo x >/dev/shm/x; test -c /dev/ptmx; cp /etc/resolv.conf /etc/names; echo pid >/run/some.pid; (flock 9; :) 9>/var/lock/one"]"#,
        out.display(),
        script.display()
    ));
    ok(&place.build(&[]).output().unwrap());
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "before\n");
    let root = place.path("root");
    let (from, to) =
        (format!("if={}", place.path("out/small.img").display()), format!("of={}", root.display()));
    run("dd", &[&from, &to, "bs=1M", "skip=17", "count=1024", "conv=sparse", "status=none"]);
    let read = |path: &str| run("debugfs", &["-R", &format!("cat {path}"), root.to_str().unwrap()]);
    assert_eq!((read("/etc/outside2"), read("/etc/inside")), ("from outside\n".into(), "0\n".into()));
    // No process that a hook sees has the content cache open: a hook could write to it.
    let open = read("/etc/open");
    assert!(open.contains(" -> ") && !open.contains("/cache/"), "{open}");
    // A terminal, and the host's resolver; what is in /run goes, and the image's own resolv.conf is as before.
    assert_eq!(read("/etc/tty"), "/dev/pts/0\n");
    assert_eq!(read("/etc/names"), std::fs::read_to_string("/etc/resolv.conf").unwrap());
    assert_eq!(run("debugfs", &["-R", "ls -p /run", root.to_str().unwrap()]).lines().count(), 2 + 1);
    assert_eq!(read("/etc/resolv.conf"), "");
    // What was mounted for the hook is not in the image.
    assert_eq!(run("debugfs", &["-R", "ls -p /dev", root.to_str().unwrap()]).lines().count(), 2 + 1);

    hooks(r#""PostChrootShell": ["echo the reason >&2; exit 7"]"#);
    let output = place.build(&[]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the hook PostChrootShell `echo the reason >&2; exit 7` failed"), "{stderr}");
    assert!(stderr.contains("exit code 7") && stderr.contains("it said: the reason"), "{stderr}");
    // One that is killed, or finds no space, says nothing of the template.
    for (hook, code) in [
        ("kill -9 $$", 3),
        ("echo no: No space left on device >&2; exit 1", 3),
        ("echo ended by signal 9; exit 1", 1),
    ] {
        hooks(&format!(r#""PreInstallShell": ["{hook}"]"#));
        let output = place.build(&[]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{hook}: {}", text(&output.stderr));
    }
    // One that hangs is ended, on the host as inside.
    for key in ["PreInstallShell", "PostNonChrootShell", "PostChrootShell"] {
        hooks(&format!(r#""{key}": ["echo waiting; sleep 1234"]"#));
        let output = place.build(&["--hook-timeout", "2"]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains(&format!("the hook {key} `echo waiting; sleep 1234` failed")), "{stderr}");
        assert!(stderr.contains("did not end within 2 s") && stderr.contains("it said: waiting"), "{stderr}");
        assert!(stderr.contains("--hook-timeout"), "{stderr}");
    }
    // So is a daemon with a session of its own, also on the host.
    for key in ["PreInstallShell", "PostNonChrootShell"] {
        hooks(&format!(r#""{key}": ["setsid sh -c 'sleep 1234 & sleep 1234' >/dev/null 2>&1 & sleep 0.3"]"#));
        let output = place.build(&[]).output().unwrap();
        ok(&output);
        assert!(text(&output.stderr).contains(&format!("{key} `setsid")), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("left 3 processes running"), "{}", text(&output.stderr));
    }
    let left = Command::new("pgrep").args(["-f", "^sleep 1234"]).output().unwrap();
    assert_eq!(text(&left.stdout), "", "nothing of it is left");
}

/// ister.py's `-D`, `-m` and `-F`: the tree is where it was asked for, hooks find it there, and no cache stays.
#[test]
fn the_tree_is_left_where_it_was_asked_for() {
    let _one = one_at_a_time();
    let place = Place::new();
    let tree = place.path("tree");
    let tree_name = tree.display().to_string();
    let hook = r#"PostNonChrootShell=["echo $ISTER_CHROOT >$ISTER_CHROOT/where"]"#;
    let refused = place.build(&["-m", "-D", &tree_name]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "it is not there: {}", text(&refused.stderr));
    std::fs::create_dir(&tree).unwrap();
    let before = host_state();
    // Without -m hooks see it there, and then it is gone.
    ok(&place.build(&["-D", &tree_name, "--set", hook]).output().unwrap());
    assert_eq!((names(&tree), host_state()), (Vec::new(), before.clone()));
    let mut build = ister(&["build", "-F", "-m", "-D", &tree_name, "--set", hook]);
    build.arg(place.path("small.json")).arg("-o").arg(place.path("out"));
    let output = build.output().unwrap();
    ok(&output);
    assert!(
        text(&output.stderr).contains(&format!("the tree is in `{tree_name}`")),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(std::fs::read_to_string(tree.join("where")).unwrap(), format!("{tree_name}\n"));
    assert_eq!(std::fs::read_to_string(tree.join("etc/hostname")).unwrap(), "small\n");
    assert_eq!(names(&place.path("out")), WRITTEN, "no cache is left");
    assert_eq!(host_state(), before);
    // Somebody else's files are not written among.
    let refused = place.build(&["-D", &tree_name]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    // As an ordinary user: it belongs to ids that only a namespace knows.
    if std::fs::remove_dir_all(&tree).is_err() {
        run("unshare", &["--map-root-user", "--map-auto", "rm", "-rf", &tree_name]);
    }
}

/// Starts a build with a cache of its own and waits until it has said something.
fn started(place: &Place, word: &str) -> Child {
    let mut command = ister(&["build"]);
    command.arg(place.path("small.json")).arg("-o").arg(place.path("out"));
    command.arg("--cache-dir").arg(place.path("cache"));
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.by_ref().map_while(Result::ok).any(|line| line.contains(word));
    assert!(found, "the build never said `{word}`");
    // Somebody has to read on.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Nothing of a build is there any more: no process that knows its cache, no temporary file, no mount.
fn is_clean(place: &Place, before: &(String, String)) {
    let until = Instant::now() + Duration::from_secs(20);
    let marker = place.directory.path().to_str().unwrap().to_owned();
    let alive = || -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if !pid.bytes().all(|b| b.is_ascii_digit()) || pid == std::process::id().to_string() {
                continue;
            }
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if text(&line).contains(&marker) {
                found.push(text(&line).replace('\0', " "));
            }
        }
        found
    };
    while !alive().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(alive(), [""; 0]);
    assert_eq!(&host_state(), before);
    assert_eq!(names(&place.path("out")), [""; 0]);
    assert_eq!(names(&place.path("cache/work")), [""; 0]);
    let remains: Vec<String> =
        names(&place.path("cache/content")).into_iter().filter(|name| !name.ends_with(".lock")).collect();
    assert_eq!(remains, [""; 0]);
}

#[test]
fn signals_end_a_build_without_a_trace() {
    let _one = one_at_a_time();
    use rustix::process::{Pid, Signal, kill_process};
    use std::os::unix::process::ExitStatusExt;
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let place = Place::new();
        let before = host_state();
        let mut child = started(&place, "unpacking essential packages");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), code, "{signal:?}");
        if code.is_none() {
            assert_eq!(status.signal(), Some(9));
        }
        is_clean(&place, &before);
    }
}

#[test]
fn two_builds_at_once_share_one_fetch() {
    let _one = one_at_a_time();
    let place = Place::new();
    let mut first = started(&place, "fetching package lists");
    let mut second = ister(&["build"]);
    second.arg(place.path("small.json")).arg("-o").arg(place.path("out2"));
    second.arg("--cache-dir").arg(place.path("cache"));
    let second = second.output().unwrap();
    ok(&second);
    assert!(first.wait().unwrap().success());
    let said = text(&second.stderr);
    assert!(said.contains("waiting for another build that fetches the same content"), "{said}");
    assert!(!said.contains("installing packages"), "{said}");

    // A damaged entry is noticed and fetched again.
    let content = place.path("cache/content");
    let tar = names(&content).into_iter().find(|name| name.ends_with(".tar")).unwrap();
    let file = std::fs::File::options().write(true).open(content.join(tar)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 5 << 20).unwrap();
    let mut third = ister(&["build"]);
    third.arg(place.path("small.json")).arg("-o").arg(place.path("out3"));
    third.arg("--cache-dir").arg(place.path("cache"));
    let third = third.output().unwrap();
    ok(&third);
    assert!(text(&third.stderr).contains("is damaged; fetching it again"), "{}", text(&third.stderr));
    agrees_with_plan(&place.path("out3/small.img"));
}

/// Runs a shell script in a mount namespace of its own, so that it may hide things of the host.
fn in_own_mounts(script: &str, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc", script]).env("NO_COLOR", "1");
    for (name, value) in variables {
        command.env(name, value);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

/// As [`in_own_mounts`], with a place's template, output and a cache as $T, $O and $C, and the program as $ISTER.
fn in_own_mounts_with(place: &Place, cache: &Path, script: &str) -> Output {
    in_own_mounts(
        script,
        &[
            ("ISTER", Path::new(env!("CARGO_BIN_EXE_ister"))),
            ("T", &place.path("small.json")),
            ("O", &place.path("out")),
            ("C", cache),
        ],
    )
}

#[test]
fn a_missing_tool_names_its_package() {
    if !is_root() {
        return skip("hiding a program needs root");
    }
    let _one = one_at_a_time();
    let place = Place::new();
    let script =
        r#"mount --bind /dev/null /usr/bin/mmdebstrap; "$ISTER" build "$T" -o "$O" --cache-dir "$C""#;
    let output = in_own_mounts_with(&place, &place.path("cache"), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: `mmdebstrap` is needed and not installed"), "{stderr}");
    assert!(stderr.contains("help: install the package `mmdebstrap`"), "{stderr}");
}

/// Exit code 0 of a program is no proof: here mke2fs leaves a file out.
#[test]
fn a_file_that_mkfs_loses_stops_the_build() {
    if !is_root() {
        return skip("replacing a program needs root");
    }
    let _one = one_at_a_time();
    let place = Place::new();
    let wrapper = "#!/bin/sh\nbefore=\nfor argument; do\n    [ \"$before\" != -d ] || rm -f \"$argument/etc/issue\"\n    \
                   before=$argument\ndone\nexec \"$REAL\" \"$@\"\n";
    let wrapper = wrapper.replace("$REAL", &place.path("mke2fs").display().to_string());
    std::fs::write(place.path("wrapper"), wrapper).unwrap();
    let script = r#"
        mke2fs=$(PATH=$PATH:/usr/sbin:/sbin command -v mke2fs); here=$(dirname "$T")
        cp "$mke2fs" "$here/mke2fs"; chmod 755 "$here/wrapper"; mount --bind "$here/wrapper" "$mke2fs"
        "$ISTER" build "$T" -o "$O" --cache-dir "$C""#;
    let output = in_own_mounts_with(&place, &shared_cache(), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("`/etc/issue` differs from the tree after writing\n  it is missing"), "{stderr}");
    assert_eq!(names(&place.path("out")), [""; 0]);
}

#[test]
fn a_full_disk_is_named() {
    if !is_root() {
        return skip("mounting a small disk needs root");
    }
    let _one = one_at_a_time();
    let place = Place::new();
    std::fs::create_dir(place.path("out")).unwrap();
    let script = r#"mount -t tmpfs -o size=64m none "$O"; "$ISTER" build "$T" -o "$O" --cache-dir "$C""#;
    let cache = shared_cache();
    let output = in_own_mounts_with(&place, &cache, script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: there is not enough space for the image in"), "{stderr}");
    assert!(stderr.contains("are needed, 64 MiB are free"), "{stderr}");

    // The cache's disk: nothing half-done stays on it.
    let script = r#"mkdir -p "$C"; mount -t tmpfs -o size=32m none "$C"
        "$ISTER" build "$T" -o "$O" --cache-dir "$C" || code=$?; ls -A "$C/content" "$C/work"; exit $code"#;
    let output = in_own_mounts_with(&place, &place.path("cache"), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: there is not enough space for the content in the cache"), "{stderr}");
    assert!(stderr.contains("`ister cache prune` empties it; --cache-dir chooses another disk"), "{stderr}");
    let left = text(&output.stdout);
    assert!(!left.contains(".tar") && !left.contains(".json"), "{left}");
}

/// Where memory is short the tree is on disk, and has to go from there by other means.
#[test]
fn short_of_memory_the_tree_is_on_disk_and_goes_all_the_same() {
    if !is_root() {
        return skip("pretending a small control group needs root");
    }
    let _one = one_at_a_time();
    let place = Place::new();
    let script = r#"
        mount -t tmpfs none /sys/fs/cgroup
        echo 209715200 >/sys/fs/cgroup/memory.max; echo 0 >/sys/fs/cgroup/memory.current
        build() { exec "$ISTER" build "$T" -o "$O" --cache-dir "$C"; }
        for signal in INT KILL; do
            build & pid=$!
            while ! ls "$C/work"/disk-*/tree/usr/bin/dash >/dev/null 2>&1; do sleep 0.1; done
            kill -$signal $pid; wait $pid && exit 9
            echo "$signal: $(ls "$C"/work | wc -l)"
        done
        sleep 1
        "$ISTER" cache prune --cache-dir "$C"
        echo "pruned: $(ls "$C"/work | wc -l)"
        build
        "#;
    let output = in_own_mounts_with(&place, &place.path("cache"), script);
    ok(&output);
    let said = text(&output.stdout);
    assert!(said.contains("INT: 0\nKILL: 1\n") && said.contains("pruned: 0\n"), "{said}");
    assert_eq!(names(&place.path("cache/work")), [""; 0]);
    agrees_with_plan(&place.path("out/small.img"));
}

/// As a user that exists only for this test, in files that only this test sees.
#[test]
fn an_ordinary_user_needs_a_range_of_ids_and_nothing_else() {
    if !is_root() {
        return skip("becoming another user needs root; as an ordinary user every other test shows the same");
    }
    let _one = one_at_a_time();
    let place = Place::new();
    let ister = Path::new(env!("CARGO_BIN_EXE_ister"));
    let own = place.path("own");
    std::fs::create_dir(&own).unwrap();
    std::fs::copy(ister, own.join("ister")).unwrap();
    std::fs::copy(place.path("small.json"), own.join("small.json")).unwrap();
    let script = r#"
        { cat /etc/passwd; echo "isterly:x:64123:64123::$W:/bin/sh"; } >"$W/passwd"
        { cat /etc/group; echo "isterly:x:64123:"; } >"$W/group"
        printf '%s' "$RANGE" >"$W/subid"
        mount --bind "$W/passwd" /etc/passwd
        mount --bind "$W/group" /etc/group
        [ -e /etc/subuid ] && [ -e /etc/subgid ]
        mount --bind "$W/subid" /etc/subuid
        mount --bind "$W/subid" /etc/subgid
        chmod 755 "$W/.."; chown -R 64123:64123 "$W"
        cd "$W"
        exec ${BEFORE:-} setpriv --reuid 64123 --regid 64123 --clear-groups env HOME="$W" XDG_CACHE_HOME= \
            PATH=/usr/bin:/bin ./ister build "$NAME" -o out"#;
    let (name, range) = (("NAME", Path::new("small.json")), ("RANGE", Path::new("isterly:700000:65536\n")));
    let without = in_own_mounts(script, &[("W", &own), ("RANGE", Path::new("")), name]);
    let stderr = text(&without.stderr);
    assert_eq!(without.status.code(), Some(3), "{stderr}");
    assert!(
        stderr.contains("user `isterly` has no range of 65536 subordinate ids in /etc/subuid"),
        "{stderr}"
    );
    assert!(stderr.contains("help: sudo usermod --add-subuids"), "{stderr}");

    // As in a container: nothing waits for what is never allowed.
    let filter = concat!("timeout 60 python3 ", env!("CARGO_MANIFEST_DIR"), "/tests/tools/no_namespaces.py");
    let denied = in_own_mounts(script, &[("W", &own), range, name, ("BEFORE", Path::new(filter))]);
    let stderr = text(&denied.stderr);
    assert_eq!(denied.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: this host does not allow the namespaces that a build needs"), "{stderr}");
    assert!(stderr.contains("start a container with `--privileged`"), "{stderr}");

    ok(&in_own_mounts(script, &[("W", &own), range, name]));
    agrees_with_plan(&own.join("out/small.img"));
    use std::os::unix::fs::MetadataExt;
    assert_eq!(own.join("out/small.img").metadata().unwrap().uid(), 64123);
    // Root's build of the same gives the same bytes, though each has fetched the content for itself.
    ok(&place.build(&[]).output().unwrap());
    let hash = |image: PathBuf| ister::image::sha256(&image).unwrap();
    assert_eq!(hash(own.join("out/small.img")), hash(place.path("out/small.img")));

    // A hook is root of the tree, but on the host no more than the user.
    let hook = r#""PostNonChrootShell": [
        "touch /etc/ister-hook 2>/dev/null && exit 9; cat /etc/shadow >/dev/null 2>&1 && exit 8; exit 0",
        "test $(id -u) = 0 && cat $ISTER_CHROOT/etc/shadow >/dev/null && echo mine >mine"
    ]"#;
    std::fs::write(own.join("hook.json"), TEMPLATE.replacen('{', &format!("{{{hook},"), 1)).unwrap();
    ok(&in_own_mounts(script, &[("W", &own), range, ("NAME", Path::new("hook.json"))]));
    assert_eq!(std::fs::read_to_string(own.join("mine")).unwrap(), "mine\n");
    assert!(!Path::new("/etc/ister-hook").exists());
}
