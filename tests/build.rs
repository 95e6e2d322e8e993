//! Builds of a small image with real content and without a kernel: output files, cache reuse and errors.
//! Only one build runs at a time, because builds need many resources.
//!
//! A test whose requirements the host does not meet is reported as skipped, or as failed if CI is set.

mod agreement;

use agreement::assert_matches_plan;
mod at_once;

use at_once::{concurrent_builds_share_one_download, interrupted_builds_leave_no_files};
mod hosts;

use crate::common::{ister, need_tools, text};
use hosts::{
    file_lost_by_mkfs_stops_the_build, full_disk_is_reported, in_own_mounts_with,
    missing_program_is_reported_with_its_package, tree_on_disk_is_removed,
    unprivileged_user_needs_only_subordinate_ids,
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

/// An image without a kernel. It does not boot but is otherwise complete.
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

/// The files that a build writes.
const WRITTEN: [&str; 5] =
    ["small.img", "small.img.cdx.json", "small.img.packages", "small.img.plan.json", "small.img.spdx.json"];

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
        // Most tests share the same content, which is downloaded only once.
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

/// Mounts and loop devices of the host, which a build must not change.
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

fn image_matches_its_plan_and_no_other_files_are_left() {
    let _one = one_at_a_time();
    let place = Place::new();
    let before = host_state();
    let output = place.build(&["--format", "json"]).output().unwrap();
    ok(&output);
    assert_eq!(host_state(), before);
    assert_eq!(names(&place.path("out")), WRITTEN);
    assert_eq!(names(&shared_cache().join("work")), [""; 0]);
    let image = place.path("out/small.img");
    assert_matches_plan(&image);

    use std::os::unix::fs::MetadataExt;
    let metadata = image.metadata().unwrap();
    assert_eq!(metadata.len(), (1 + 16 + 1024 + 64 + 1) << 20);
    assert!(metadata.blocks() * 512 < metadata.len() / 2, "the image is sparse");

    // Each filesystem is clean and has the expected content.
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
    // The package list and the SBOM.
    let list = std::fs::read_to_string(place.path("out/small.img.packages")).unwrap();
    assert!(list.lines().any(|line| line.starts_with("libc6\t") && line.contains("\tglibc\t")), "{list}");
    let sbom = std::fs::read(place.path("out/small.img.spdx.json")).unwrap();
    let sbom: serde_json::Value = serde_json::from_slice(&sbom).unwrap();
    assert_eq!(
        sbom["packages"].as_array().unwrap().len(),
        list.lines().count(),
        "one entry for the image and one for each package"
    );
    // The secret is only in the image.
    let plan = std::fs::read_to_string(place.path("out/small.img.plan.json")).unwrap();
    for printed in [plan, text(&output.stdout), text(&output.stderr)] {
        assert!(!printed.contains("topsecrethash"), "{printed}");
    }

    // A build removes the receipt of the previous image.
    std::fs::write(place.path("out/small.img.receipt.json"), "{}").unwrap();
    let again = place.build(&["--format", "json", "--set", "Hostname=\"other\""]).output().unwrap();
    ok(&again);
    let json: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(json["content"]["cached"], true);
    assert!(!text(&again.stderr).contains("download"), "{}", text(&again.stderr));
    assert_matches_plan(&image);
    assert_eq!(names(&place.path("out")), WRITTEN);
}

fn failed_build_preserves_the_old_image_and_suggests_a_fix() {
    let _one = one_at_a_time();
    let place = Place::new();
    std::fs::create_dir(place.path("out")).unwrap();
    std::fs::write(place.path("out/small.img"), "older").unwrap();
    for (more, code, expected) in [
        (
            ["--set", r#"Bundles=["os-core", "no-such-package"]"#],
            1,
            "the package `no-such-package` does not exist in bookworm",
        ),
        (
            ["-C", "http://127.0.0.1:9/debian"],
            3,
            "could not connect to the archive: deb http://127.0.0.1:9/debian",
        ),
        (["--set", r#"Version="nosuite""#], 1, "the archive has no suite `nosuite`"),
        (
            ["--set", r#"Users=[{"username": "u", "uid": 4294967295}]"#],
            1,
            "user `u` cannot have uid 4294967295",
        ),
        (
            ["--set", r#"Users=[{"username": "u", "sudo": true, "password": {"env": "ISTER_EMPTY"}}]"#],
            3,
            "the password of user `u` is not a crypt(3) hash",
        ),
    ] {
        let output = place.build(&more).env("ISTER_EMPTY", "").output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            stderr.contains(expected) && stderr.contains("error") && stderr.contains("help: "),
            "{stderr}"
        );
        assert_eq!(std::fs::read(place.path("out/small.img")).unwrap(), b"older");
        assert_eq!(names(&place.path("out")), ["small.img"]);
        assert_eq!(names(&shared_cache().join("work")), [""; 0]);
    }
    // A partition that is too small is reported before anything is written, with the line of the template.
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
    // Files added by a hook are also checked before anything is written.
    let hook = r#"PostChrootShell=["head -c 80000000 /dev/urandom >/home/large"]"#;
    std::fs::write(place.path("small.json"), TEMPLATE).unwrap();
    let output = place.build(&["--set", hook]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the content does not fit into partition 3 (`/home`): it needs 76."), "{stderr}");
    assert!(stderr.contains("small.json:6:56"), "{stderr}");
    assert_eq!(std::fs::read(place.path("out/small.img")).unwrap(), b"older");
}

fn files_that_a_filesystem_cannot_store_are_found_before_it_is_made() {
    let _one = one_at_a_time();
    let place = Place::new();
    // Files that the filesystem cannot store are reported with the reason before it is made.
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
        let expected = format!("error[build]: partition 3 (`/home`) cannot store `{path}`: {reason}");
        assert!(stderr.contains(&expected) && stderr.contains("small.json:11:"), "{stderr}");
        assert!(!place.path("out/small.img").exists());
    }
    // Valid files are stored: more than one cluster of directory entries, long and non-ASCII names, an empty file.
    let hook = r#"mkdir -p /home/D/e/F; for i in $(seq 300); do printf $i > "/home/D/long name $i.txt"; done; : > /home/D/none; printf ä > /home/ä€"#;
    let hook = format!("PostChrootShell={}", serde_json::json!([hook]));
    ok(&place.build(&["--set", &hook, "--set", "Users=[]"]).output().unwrap());
}

fn builds_are_reproducible() {
    let _one = one_at_a_time();
    let place = Place::new();
    let output = place
        .build(&["--check-reproducible", "--set", r#"Formats=["qcow2", "tar.xz", "oci"]"#])
        .output()
        .unwrap();
    ok(&output);
    assert!(
        text(&output.stderr).contains("reproducible: both builds are identical"),
        "{}",
        text(&output.stderr)
    );
    let mut written: Vec<&str> =
        WRITTEN.into_iter().chain(["small.oci.tar", "small.qcow2", "small.tar.xz"]).collect();
    written.sort_unstable();
    assert_eq!(names(&place.path("out")), written);
    need_tools(&["skopeo", "xz"]);
    {
        // skopeo converts the image. Its only layer, named by its hash, equals the tree in the tar.xz. The image is
        // unpacked first, because skopeo 1.9 restores the owners of files in an archive, which requires root.
        let script = r#"mkdir "$1.oci"
            tar -xf "$1/small.oci.tar" -C "$1.oci"
            skopeo --insecure-policy copy -q "oci:$1.oci" "docker-archive:$1.docker.tar"
            tar -tf "$1.docker.tar" "$(xz -dc "$1/small.tar.xz" | sha256sum | cut -c 1-64).tar""#;
        run("sh", &["-ec", script, "sh", place.path("out").to_str().unwrap()]);
    }
    let first = run("sha256sum", &[place.path("out/small.img").to_str().unwrap()]);
    // If memory is short, the tree is on disk, where directories have a different order.
    if is_root() {
        let script = r#"
            mount -t tmpfs none /sys/fs/cgroup
            echo 209715200 >/sys/fs/cgroup/memory.max; echo 0 >/sys/fs/cgroup/memory.current
            exec "$ISTER" build "$T" -o "$O" --cache-dir "$C""#;
        ok(&in_own_mounts_with(&place, &shared_cache(), script));
        assert_eq!(run("sha256sum", &[place.path("out/small.img").to_str().unwrap()]), first);
    }
    // Hooks on the host and in the chroot that use SOURCE_DATE_EPOCH are reproducible.
    let inside = r#"PostChrootShell=["date -u -d @$SOURCE_DATE_EPOCH >/etc/inside"]"#;
    let outside = r#"PostNonChrootShell=["date -u -d @$SOURCE_DATE_EPOCH >$ISTER_CHROOT/etc/outside"]"#;
    ok(&place.build(&["--check-reproducible", "--set", inside, "--set", outside]).output().unwrap());
    // A hook that writes the current time is reported with the file.
    let hook = r#"PostChrootShell=["date +%N >/etc/stamp"]"#;
    let output = place
        .build(&["--check-reproducible", "--set", hook, "--set", r#"Formats=["tar"]"#])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("partition 2 (`root`) > ext > /etc/stamp > content"), "{printed}");
    assert!(printed.contains("/etc/stamp: written by PostChrootShell `date +%N >/etc/stamp`"), "{printed}");
    assert!(printed.contains("out/small.tar: the first difference is at byte "), "{printed}");
}

fn hooks_change_the_tree_and_failing_hooks_stop_the_build() {
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
    // No process visible to a hook has the content cache open, which the hook could modify.
    let open = read("/etc/open");
    assert!(open.contains(" -> ") && !open.contains("/cache/"), "{open}");
    // Hooks have a terminal and the host's resolver. Files in /run are removed and the image's resolv.conf is
    // restored.
    assert_eq!(read("/etc/tty"), "/dev/pts/0\n");
    assert_eq!(read("/etc/names"), std::fs::read_to_string("/etc/resolv.conf").unwrap());
    assert_eq!(run("debugfs", &["-R", "ls -p /run", root.to_str().unwrap()]).lines().count(), 2 + 1);
    assert_eq!(read("/etc/resolv.conf"), "");
    // Mounts for the hook are not part of the image.
    assert_eq!(run("debugfs", &["-R", "ls -p /dev", root.to_str().unwrap()]).lines().count(), 2 + 1);

    hooks(r#""PostChrootShell": ["echo the reason >&2; exit 7"]"#);
    let output = place.build(&[]).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the hook PostChrootShell `echo the reason >&2; exit 7` failed"), "{stderr}");
    assert!(stderr.contains("exit code 7") && stderr.contains("output: the reason"), "{stderr}");
    // A killed hook or a full disk is an error of the host, not of the template.
    for (hook, code) in [
        ("kill -9 $$", 3),
        ("echo no: No space left on device >&2; exit 1", 3),
        ("echo ended by signal 9; exit 1", 1),
    ] {
        hooks(&format!(r#""PreInstallShell": ["{hook}"]"#));
        let output = place.build(&[]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{hook}: {}", text(&output.stderr));
    }
    // A hook that hangs is terminated, on the host and in the sandbox.
    for key in ["PreInstallShell", "PostNonChrootShell", "PostChrootShell"] {
        hooks(&format!(r#""{key}": ["echo waiting; sleep 1234"]"#));
        let output = place.build(&["--hook-timeout", "2"]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{stderr}");
        assert!(stderr.contains(&format!("the hook {key} `echo waiting; sleep 1234` failed")), "{stderr}");
        assert!(
            stderr.contains("did not finish within 2 s") && stderr.contains("output: waiting"),
            "{stderr}"
        );
        assert!(stderr.contains("--hook-timeout"), "{stderr}");
    }
    // A daemon in a session of its own is terminated too.
    for key in ["PreInstallShell", "PostNonChrootShell"] {
        hooks(&format!(r#""{key}": ["setsid sh -c 'sleep 1234 & sleep 1234' >/dev/null 2>&1 & sleep 0.3"]"#));
        let output = place.build(&[]).output().unwrap();
        ok(&output);
        assert!(text(&output.stderr).contains(&format!("{key} `setsid")), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("terminated 3 processes"), "{}", text(&output.stderr));
    }
    let left = Command::new("pgrep").args(["-f", "^sleep 1234"]).output().unwrap();
    assert_eq!(text(&left.stdout), "", "no process is left");
}

/// The options `-D`, `-m` and `-F` of ister.py: hooks see the tree at the given path, it stays there, and no cache is
/// left.
fn tree_is_left_in_the_given_directory() {
    let _one = one_at_a_time();
    let place = Place::new();
    let tree = place.path("tree");
    let tree_name = tree.display().to_string();
    let hook = r#"PostNonChrootShell=["echo $ISTER_CHROOT >$ISTER_CHROOT/where"]"#;
    let refused = place.build(&["-m", "-D", &tree_name]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "missing directory: {}", text(&refused.stderr));
    std::fs::create_dir(&tree).unwrap();
    let before = host_state();
    // Without -m, the tree is at the path only while hooks run.
    ok(&place.build(&["-D", &tree_name, "--set", hook]).output().unwrap());
    assert_eq!((names(&tree), host_state()), (Vec::new(), before.clone()));
    let mut build = ister(&["build", "-F", "-m", "-D", &tree_name, "--set", hook]);
    build.arg(place.path("small.json")).arg("-o").arg(place.path("out"));
    let output = build.output().unwrap();
    ok(&output);
    assert!(
        text(&output.stderr).contains(&format!("the root tree is in `{tree_name}`")),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(std::fs::read_to_string(tree.join("where")).unwrap(), format!("{tree_name}\n"));
    assert_eq!(std::fs::read_to_string(tree.join("etc/hostname")).unwrap(), "small\n");
    assert_eq!(names(&place.path("out")), WRITTEN, "the build leaves no cache");
    assert_eq!(host_state(), before);
    // A directory that is not empty is refused.
    let refused = place.build(&["-D", &tree_name]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    // As an unprivileged user, the files have owners that exist only in a user namespace.
    if std::fs::remove_dir_all(&tree).is_err() {
        run("unshare", &["--map-root-user", "--map-auto", "rm", "-rf", &tree_name]);
    }
}

crate::tests! {
    image_matches_its_plan_and_no_other_files_are_left,
    failed_build_preserves_the_old_image_and_suggests_a_fix,
    files_that_a_filesystem_cannot_store_are_found_before_it_is_made,
    builds_are_reproducible,
    hooks_change_the_tree_and_failing_hooks_stop_the_build,
    tree_is_left_in_the_given_directory,
    interrupted_builds_leave_no_files,
    concurrent_builds_share_one_download,
    missing_program_is_reported_with_its_package,
    file_lost_by_mkfs_stops_the_build,
    full_disk_is_reported,
    tree_on_disk_is_removed,
    unprivileged_user_needs_only_subordinate_ids,
}
