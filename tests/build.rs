//! Builds of a small image without a kernel, with real content: what is left behind, what is reused, and what is

//! said when it cannot work. One build at a time: they are heavy.
//!
//! What a test needs and the host does not allow is a visible skip, and a failure where CI is set.

mod agreement;

use agreement::agrees_with_plan;
mod at_once;

use at_once::{signals_end_a_build_without_a_trace, two_builds_at_once_share_one_fetch};
mod hosts;

use crate::common::{ister, need_tools, text};
use hosts::{
    a_file_that_mkfs_loses_stops_the_build, a_full_disk_is_named, a_missing_tool_names_its_package,
    an_ordinary_user_needs_a_range_of_ids_and_nothing_else, in_own_mounts_with,
    short_of_memory_the_tree_is_on_disk_and_goes_all_the_same,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

static HEAVY: Mutex<()> = Mutex::new(());

fn one_at_a_time() -> MutexGuard<'static, ()> {
    HEAVY.lock().unwrap_or_else(|e| e.into_inner())
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
        ("touch /home/Foo.txt /home/foo.txt", "/home/foo.txt", "same name as `Foo.txt`"),
        ("touch '/home/a:b'", "/home/a:b", "vfat does not allow `:` in names"),
        ("truncate -s 4G /home/big", "/home/big", "vfat limits a file to 4 GiB minus one cluster"),
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
    need_tools(&["skopeo", "xz"]);
    {
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

crate::tests! {
    an_image_agrees_with_its_plan_and_nothing_else_is_left,
    a_failed_build_leaves_the_older_image_and_says_what_to_do,
    what_a_filesystem_cannot_hold_is_found_before_it_is_made,
    building_twice_gives_the_same_bytes_whatever_else_differs,
    a_hook_sees_the_tree_and_a_failing_one_stops_the_build,
    the_tree_is_left_where_it_was_asked_for,
    signals_end_a_build_without_a_trace,
    two_builds_at_once_share_one_fetch,
    a_missing_tool_names_its_package,
    a_file_that_mkfs_loses_stops_the_build,
    a_full_disk_is_named,
    short_of_memory_the_tree_is_on_disk_and_goes_all_the_same,
    an_ordinary_user_needs_a_range_of_ids_and_nothing_else,
}
