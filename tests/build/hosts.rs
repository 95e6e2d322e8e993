//! Builds on hosts with missing programs, little disk space, little memory or no privileges.

use super::{Place, TEMPLATE, assert_matches_plan, is_root, names, ok, one_at_a_time, shared_cache};
use crate::common::text;
use crate::harness::skip;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs a shell script in a separate mount namespace, where it can hide files of the host.
pub(super) fn in_own_mounts(script: &str, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-euc", script]).env("NO_COLOR", "1");
    for (name, value) in variables {
        command.env(name, value);
    }
    command.stdin(Stdio::null()).output().unwrap()
}

/// Like [`in_own_mounts`], with template, output directory and cache as $T, $O and $C, and the program as $ISTER.
pub(super) fn in_own_mounts_with(place: &Place, cache: &Path, script: &str) -> Output {
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

pub(super) fn missing_program_is_reported_with_its_package() {
    if !is_root() {
        skip("hiding a program needs root");
    }
    let _one = one_at_a_time();
    let place = Place::new();
    let script =
        r#"mount --bind /dev/null /usr/bin/mmdebstrap; "$ISTER" build "$T" -o "$O" --cache-dir "$C""#;
    let output = in_own_mounts_with(&place, &place.path("cache"), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: required program `mmdebstrap` is not installed"), "{stderr}");
    assert!(stderr.contains("help: install the package `mmdebstrap`"), "{stderr}");
}

/// An exit code of 0 is not sufficient: this mke2fs omits a file.
pub(super) fn file_lost_by_mkfs_stops_the_build() {
    if !is_root() {
        skip("replacing a program needs root");
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
    assert!(stderr.contains("`/etc/issue` differs from the root tree after writing\n  missing"), "{stderr}");
    assert_eq!(names(&place.path("out")), [""; 0]);
}

pub(super) fn full_disk_is_reported() {
    if !is_root() {
        skip("mounting a small disk needs root");
    }
    let _one = one_at_a_time();
    let place = Place::new();
    std::fs::create_dir(place.path("out")).unwrap();
    let script = r#"mount -t tmpfs -o size=64m none "$O"; "$ISTER" build "$T" -o "$O" --cache-dir "$C""#;
    let cache = shared_cache();
    let output = in_own_mounts_with(&place, &cache, script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: not enough space for the image in"), "{stderr}");
    assert!(stderr.contains(" needed, 64 MiB free"), "{stderr}");

    // If the disk of the cache is full, no partial files are left.
    let script = r#"mkdir -p "$C"; mount -t tmpfs -o size=32m none "$C"
        "$ISTER" build "$T" -o "$O" --cache-dir "$C" || code=$?; ls -A "$C/content" "$C/work"; exit $code"#;
    let output = in_own_mounts_with(&place, &place.path("cache"), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: there is not enough space for the content in the cache"), "{stderr}");
    assert!(
        stderr.contains("run `ister cache prune`, or select a directory on another disk with --cache-dir"),
        "{stderr}"
    );
    let left = text(&output.stdout);
    assert!(!left.contains(".tar") && !left.contains(".json"), "{left}");
}

/// If memory is short, the tree is on disk and is removed after interrupted builds too.
pub(super) fn tree_on_disk_is_removed() {
    if !is_root() {
        skip("pretending a small control group needs root");
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
    let printed = text(&output.stdout);
    assert!(printed.contains("INT: 0\nKILL: 1\n") && printed.contains("pruned: 0\n"), "{printed}");
    assert_eq!(names(&place.path("cache/work")), [""; 0]);
    assert_matches_plan(&place.path("out/small.img"));
}

/// Builds as a user who exists only in this test's mount namespace.
pub(super) fn unprivileged_user_needs_only_subordinate_ids() {
    if !is_root() {
        skip("switching to another user needs root; without root, all other tests cover this");
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
    assert!(stderr.contains("user `isterly` needs 65536 subordinate IDs in /etc/subuid"), "{stderr}");
    assert!(stderr.contains("help: sudo usermod --add-subuids"), "{stderr}");

    // As in a container that forbids namespaces: the build fails instead of waiting.
    let filter = concat!("timeout 60 python3 ", env!("CARGO_MANIFEST_DIR"), "/tests/tools/no_namespaces.py");
    let denied = in_own_mounts(script, &[("W", &own), range, name, ("BEFORE", Path::new(filter))]);
    let stderr = text(&denied.stderr);
    assert_eq!(denied.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("error: this host does not allow the namespaces that a build needs"), "{stderr}");
    assert!(stderr.contains("start a container with `--privileged`"), "{stderr}");

    ok(&in_own_mounts(script, &[("W", &own), range, name]));
    assert_matches_plan(&own.join("out/small.img"));
    use std::os::unix::fs::MetadataExt;
    assert_eq!(own.join("out/small.img").metadata().unwrap().uid(), 64123);
    // A build by root results in the same bytes, although both downloaded the content separately.
    ok(&place.build(&[]).output().unwrap());
    let hash = |image: PathBuf| ister::image::sha256(&image).unwrap();
    assert_eq!(hash(own.join("out/small.img")), hash(place.path("out/small.img")));

    // A hook is root in the tree but has only the privileges of the user on the host.
    let hook = r#""PostNonChrootShell": [
        "touch /etc/ister-hook 2>/dev/null && exit 9; cat /etc/shadow >/dev/null 2>&1 && exit 8; exit 0",
        "test $(id -u) = 0 && cat $ISTER_CHROOT/etc/shadow >/dev/null && echo mine >mine"
    ]"#;
    std::fs::write(own.join("hook.json"), TEMPLATE.replacen('{', &format!("{{{hook},"), 1)).unwrap();
    ok(&in_own_mounts(script, &[("W", &own), range, ("NAME", Path::new("hook.json"))]));
    assert_eq!(std::fs::read_to_string(own.join("mine")).unwrap(), "mine\n");
    assert!(!Path::new("/etc/ister-hook").exists());
}
