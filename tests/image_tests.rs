//! Tests of `ister test` and `ister report` that build no image: selection of types, merging of results, and rejected
//! inputs.

use crate::common::{ister, text};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn git(directory: &Path, args: &[&str]) {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", text(&output.stderr));
}

/// Creates a repository with three image types; `kvm` has a hook.
fn repository(directory: &Path) {
    let kinds = directory.join("types");
    for (name, bundles, hook) in
        [("cloud", r#""kernel-kvm""#, ""), ("kvm", r#""editors""#, "post.sh"), ("mini", "", "")]
    {
        let kind = kinds.join(name);
        std::fs::create_dir_all(&kind).unwrap();
        let hook = if hook.is_empty() { String::new() } else { format!(r#", "PostNonChroot": ["{hook}"]"#) };
        let template =
            format!(r#"{{ "SoftwareManager": "apt", "Version": "bookworm", "Bundles": [{bundles}]{hook} }}"#);
        std::fs::write(kind.join("template.json"), template).unwrap();
        std::fs::write(kind.join("type.json"), r#"{ "boots": [] }"#).unwrap();
    }
    std::fs::create_dir(directory.join("bundles")).unwrap();
    for (path, text) in
        [("bundles/editors", "nano\n"), ("types/kvm/post.sh", "#!/bin/sh\n"), ("README.md", "x\n")]
    {
        std::fs::write(directory.join(path), text).unwrap();
    }
    git(directory, &["init", "-q"]);
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-qm", "first"]);
}

fn listed(directory: &Path, more: &[&str]) -> Vec<String> {
    let output = ister(&["test", "--list", "-q"])
        .args(more)
        .arg("--directory")
        .arg(directory.join("types"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

fn a_change_picks_the_types_that_it_touches() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    repository(directory);
    let changed = || listed(directory, &["--changed", "main"]);
    assert_eq!(changed(), [""; 0]);
    for (path, kinds) in [
        ("types/mini/type.json", &["mini"][..]),
        ("bundles/editors", &["kvm"]),
        ("types/kvm/post.sh", &["kvm"]),
        ("README.md", &[]),
        // Untracked files count too.
        ("types/cloud/more", &["cloud"]),
    ] {
        std::fs::write(directory.join(path), "{ \"boots\": [] }\n").unwrap();
        assert_eq!(changed(), kinds, "{path}");
        // The same change, committed on a branch.
        git(directory, &["switch", "-qC", "work"]);
        git(directory, &["add", "-A"]);
        git(directory, &["commit", "-qm", "change"]);
        assert_eq!(changed(), kinds, "{path}, committed");
        git(directory, &["switch", "-q", "main"]);
        git(directory, &["branch", "-qD", "work"]);
    }
    let unknown = ister(&["test", "--list", "--changed", "nowhere", "--directory"])
        .arg(directory.join("types"))
        .output()
        .unwrap();
    assert_eq!(unknown.status.code(), Some(3));
    assert!(
        text(&unknown.stderr).contains("could not list the changes since `nowhere`"),
        "{}",
        text(&unknown.stderr)
    );
}

fn shards_cover_every_type_once() {
    let directory = tempfile::tempdir().unwrap();
    repository(directory.path());
    let mut all: Vec<String> =
        (1..=2).flat_map(|index| listed(directory.path(), &["--shard", &format!("{index}/2")])).collect();
    all.sort();
    assert_eq!(all, ["cloud", "kvm", "mini"]);
    for bad in ["0/2", "3/2", "x"] {
        assert_eq!(
            ister(&["test", "--list", "--shard", bad]).output().unwrap().status.code(),
            Some(2),
            "{bad}"
        );
    }
}

/// A restarted shard keeps its types, even if the history has changed.
fn restarted_shard_keeps_its_types() {
    let directory = tempfile::tempdir().unwrap();
    repository(directory.path());
    let out = directory.path().join("out");
    let mine =
        || listed(directory.path(), &["--shard", "1/2", "--run", "nightly", "-o", out.to_str().unwrap()]);
    let first = mine();
    results(&out, "nightly", Some((1, 2)), &["mini"], &[]);
    assert_eq!(mine(), ["mini"]);
    results(&out, "another", Some((1, 2)), &["mini"], &[]);
    assert_eq!(mine(), first);
}

fn directory_without_types_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let output = ister(&["test", "--directory"]).arg(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no image types found"), "{}", text(&output.stderr));
    repository(directory.path());
    let typo = ister(&["test", "kvn", "--directory"]).arg(directory.path().join("types")).output().unwrap();
    assert_eq!(typo.status.code(), Some(2));
    assert!(text(&typo.stderr).contains("available types: cloud, kvm, mini"), "{}", text(&typo.stderr));
}

/// Results belong to a commit and its uncommitted changes.
fn revision_includes_uncommitted_changes() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    repository(directory);
    // The output directory is in the repository and not ignored. The templates cannot be built.
    let revision = |out: &str, code: i32| -> String {
        let output = ister(&["test", "mini", "--run", "n", "--directory", "types", "-o", out])
            .current_dir(directory)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let results = std::fs::read_to_string(directory.join(out).join("results.json")).unwrap();
        serde_json::from_str::<Value>(&results).unwrap()["run"]["revision"].as_str().unwrap().to_owned()
    };
    let clean = revision("out/a", 1);
    assert_eq!((clean.len(), revision("out/a", 1)), (40, clean.clone()));
    for path in ["types/mini/new", "README.md"] {
        std::fs::write(directory.join(path), "more\n").unwrap();
        let changed = revision(&format!("out/{}", path.len()), 1);
        assert!(changed.starts_with(&format!("{clean}+")), "{path}: {changed}");
        // The diff settings of the user have no influence.
        git(directory, &["config", "diff.external", "true"]);
        git(directory, &["config", "color.ui", "always"]);
        assert_eq!(revision("out/c", 1), changed);
        std::fs::remove_dir_all(directory.join("out/c")).unwrap();
        git(directory, &["config", "--unset", "diff.external"]);
        git(directory, &["config", "--unset", "color.ui"]);
        // Results from before the change are not accepted.
        revision("out/a", 2);
    }
}

/// A resumed run keeps existing results, if they belong to the same run.
fn resumed_run_keeps_existing_results() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    repository(directory);
    std::fs::remove_dir_all(directory.join(".git")).unwrap();
    let out = directory.join("out");
    let resume = |more: &[&str]| {
        ister(&["test", "--run", "nightly", "--directory"])
            .arg(directory.join("types"))
            .arg("-o")
            .arg(&out)
            .args(more)
            .output()
            .unwrap()
    };
    let all = ["cloud", "kvm", "mini"];
    results(&out, "nightly", None, &all, &all.map(|kind| (kind, "passed")));
    let output = resume(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("3 types already tested in this run"), "{}", text(&output.stderr));
    // A type that was planned, and is not asked for now.
    results(&out, "nightly", None, &all, &[("kvm", "passed"), ("mini", "failed")]);
    let output = resume(&["kvm"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("missing results of this run: cloud"), "{}", text(&output.stderr));
    results(&out, "nightly", None, &all, &[("kvm", "passed"), ("mini", "passed")]);
    assert_eq!(resume(&["kvm"]).status.code(), Some(3));
    // The directory of another shard.
    results(&out, "nightly", Some((2, 2)), &all, &all.map(|kind| (kind, "passed")));
    let output = resume(&["--shard", "1/2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("for shard 2/2"), "{}", text(&output.stderr));
    // A locked directory.
    let lock = std::fs::File::options().write(true).open(out.join(".ister-test.lock")).unwrap();
    lock.lock().unwrap();
    let output = resume(&[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("is in use by another `ister test`"), "{}", text(&output.stderr));
    lock.unlock().unwrap();
    // A different commit.
    git(directory, &["init", "-q"]);
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-qm", "first"]);
    results(&out, "nightly", None, &all, &all.map(|kind| (kind, "passed")));
    let output = resume(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("has results of the same run for all types at no commit"),
        "{}",
        text(&output.stderr)
    );
}

fn renamed_hook_directory_selects_its_type() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    repository(directory);
    let kind = directory.join("types/mini");
    let hooks = directory.join("hooks/deep");
    std::fs::create_dir_all(&hooks).unwrap();
    std::fs::write(hooks.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::write(kind.join("template.json"), r#"{ "PostNonChroot": ["../../hooks/deep/run.sh"] }"#)
        .unwrap();
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-qm", "hooks"]);
    std::fs::rename(directory.join("hooks"), directory.join("renamed")).unwrap();
    assert_eq!(listed(directory, &["--changed", "main"]), ["mini"]);
}

fn words_of_hook_commands_are_treated_as_paths() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    repository(directory);
    std::fs::create_dir(directory.join("types/mini/files")).unwrap();
    std::fs::create_dir(directory.join("etc")).unwrap();
    std::fs::write(directory.join("etc/motd"), "one\n").unwrap();
    let hooks = r#"{ "PostNonChrootShell": ["cp -r ../../etc/. $ISTER_CHROOT/etc/", "cd / && true"] }"#;
    std::fs::write(directory.join("types/mini/template.json"), hooks).unwrap();
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-qm", "files"]);
    assert_eq!(listed(directory, &["--changed", "main"]), [""; 0]);
    std::fs::write(directory.join("etc/motd"), "two\n").unwrap();
    assert_eq!(listed(directory, &["--changed", "main"]), ["mini"]);
    git(directory, &["checkout", "-q", "etc/motd"]);
    // Words are split as in a shell. A new directory of another type does not affect this one.
    let hooks = r#"{ "PostNonChrootShell": ["cp $PWD/../../hooks/x.sh /tmp; sh ../../hooks/y.sh;echo", "cd .. && true"] }"#;
    std::fs::write(directory.join("types/mini/template.json"), hooks).unwrap();
    git(directory, &["commit", "-qam", "hooks"]);
    std::fs::create_dir(directory.join("hooks")).unwrap();
    for (path, kinds) in [("hooks/x.sh", &["mini"][..]), ("hooks/y.sh", &["mini"]), ("types/other", &[])] {
        std::fs::write(directory.join(path), "").unwrap();
        assert_eq!(listed(directory, &["--changed", "main"]), kinds, "{path}");
        std::fs::remove_file(directory.join(path)).unwrap();
    }
}

fn results(directory: &Path, run: &str, shard: Option<(u32, u32)>, planned: &[&str], done: &[(&str, &str)]) {
    let records: Vec<Value> = done
        .iter()
        .map(|(kind, outcome)| {
            let step = json!({
                "kind": "build", "name": "build", "command": "ister build", "outcome": outcome, "seconds": 2.0, "what": "", "lines": [],
            });
            json!({ "type": kind, "steps": [step] })
        })
        .collect();
    let mut of_run = json!({
        "id": run, "started": "2026-01-01T00:00:00Z", "seconds": 3.0, "planned": planned, "ister": "0.1.0",
    });
    if let Some((index, count)) = shard {
        of_run["shard"] = json!({ "index": index, "count": count });
    }
    std::fs::create_dir_all(directory).unwrap();
    std::fs::write(
        directory.join("results.json"),
        json!({ "version": 3, "run": of_run, "types": records }).to_string(),
    )
    .unwrap();
}

fn parts_are_merged_and_missing_results_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    results(&out.join("a"), "nightly", Some((1, 2)), &["kvm"], &[("kvm", "flaky")]);
    let report = |more: &[&str]| {
        ister(&["report", "-q"]).arg(&out).args(more).current_dir(directory.path()).output().unwrap()
    };
    let part = report(&[]);
    assert_eq!(part.status.code(), Some(3), "half a run is not fine");
    assert!(text(&part.stderr).contains("missing results of shard 2"), "{}", text(&part.stderr));
    results(&out.join("b"), "nightly", Some((2, 2)), &["aws", "gce"], &[("aws", "passed")]);
    let part = report(&["--format", "json"]);
    assert_eq!(part.status.code(), Some(3));
    let said: Value = serde_json::from_slice(&part.stdout).unwrap();
    assert_eq!((&said["missing"], &said["absent"]), (&json!(["gce"]), &json!([])));
    results(
        &out.join("b"),
        "nightly",
        Some((2, 2)),
        &["aws", "gce"],
        &[("aws", "passed"), ("gce", "passed")],
    );
    let whole = report(&["--junit", "junit.xml", "-o", "site", "--history", "history.sqlite"]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stderr));
    assert!(
        std::fs::read_to_string(directory.path().join("junit.xml")).unwrap().contains("flaky: passed after")
    );
    assert!(
        std::fs::read_to_string(directory.path().join("site/index.html")).unwrap().contains("3 of 3 passed")
    );
    // A second report replaces the pages and does not add to the history.
    let again = report(&["-o", "site", "--history", "history.sqlite"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    // The pages are written even if the history cannot be.
    std::fs::write(directory.path().join("letter"), "dear all").unwrap();
    std::fs::remove_dir_all(directory.path().join("site")).unwrap();
    let output = report(&["-o", "site", "--history", "letter"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("history `letter`"), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("3 of 3 types passed, 1 of them flaky"),
        "{}",
        text(&output.stdout)
    );
    assert!(directory.path().join("site/index.html").exists());
    // A part of another commit is not merged.
    let path = out.join("b/results.json");
    let part = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, part.replace("\"ister\":\"0.1.0\"", "\"ister\":\"0.1.0\",\"revision\":\"b\""))
        .unwrap();
    let output = report(&[]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.contains("out/a`: its part of the run is from no commit, ister 0.1.0, 2 shards"), "{said}");
    assert!(said.contains("but the newest part is from commit b, ister 0.1.0, 2 shards"), "{said}");
    assert!(said.contains("missing results of shard 1"), "{said}");
    results(
        &out.join("b"),
        "nightly",
        Some((2, 2)),
        &["aws", "gce"],
        &[("aws", "failed"), ("gce", "passed")],
    );
    assert_eq!(report(&[]).status.code(), Some(1));
}

fn foreign_files_and_invalid_results_are_rejected() {
    let directory = tempfile::tempdir().unwrap();
    results(&directory.path().join("out"), "nightly", None, &["kvm"], &[("kvm", "passed")]);
    let site = directory.path().join("home");
    std::fs::create_dir(&site).unwrap();
    std::fs::write(site.join("letter"), "dear").unwrap();
    let report =
        |args: &[&str]| ister(&["report", "-q"]).args(args).current_dir(directory.path()).output().unwrap();
    let refused = report(&["out", "-o", "home"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("was not written by `ister report`"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_to_string(site.join("letter")).unwrap(), "dear");
    // A directory without results does not hide the others.
    let more = report(&["out", "home"]);
    assert_eq!(more.status.code(), Some(3));
    assert!(text(&more.stdout).contains("1 of 1 type passed"), "{}", text(&more.stdout));
    let nothing = report(&["home"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert!(text(&nothing.stderr).contains("no results.json found in `home`"), "{}", text(&nothing.stderr));
    std::fs::write(directory.path().join("out/results.json"), r#"{ "version": 1, "types": [] }"#).unwrap();
    assert!(text(&report(&["out"]).stderr).contains("unsupported version 1, this ister supports version 3"));
    // Results of others lead nowhere else.
    for outside in
        ["../home", "/etc", "kvm/../../home", "", "javascript:alert(1)//x", "kvm/index.html", "aws/report-0"]
    {
        let mut foreign: Value = serde_json::from_str(FOREIGN).unwrap();
        foreign["types"][0]["steps"][0]["boot"]["report"] = json!(outside);
        std::fs::write(directory.path().join("out/results.json"), foreign.to_string()).unwrap();
        let refused = report(&["out", "-o", "site"]);
        assert_eq!(refused.status.code(), Some(3));
        assert!(text(&refused.stderr).contains("invalid report directory"), "{}", text(&refused.stderr));
    }
    // Impossible values are rejected.
    for (pointer, value, said) in [
        (
            "/types/0/steps/0/boot/class",
            json!("kernel-panic"),
            "passed, but its boot ended with kernel-panic",
        ),
        ("/types/0/steps/0/seconds", json!(-1.0), "invalid duration"),
        ("/types/0/files", json!([{ "name": "a", "format": "raw", "bytes": u64::MAX }]), "invalid file size"),
        (
            "/types/0/files",
            json!([{ "name": "a", "format": "raw", "bytes": 1 }, { "name": "a", "format": "raw", "bytes": 2 }]),
            "duplicate name `a`",
        ),
        ("/types/0/steps/0/boot", Value::Null, "passed, but the result of its boot is missing"),
        ("/run/shard", json!({ "index": 1, "count": 1_000_000_000_000_u64 }), "invalid shard"),
    ] {
        let mut foreign: Value = serde_json::from_str(FOREIGN).unwrap();
        *foreign.pointer_mut(pointer).unwrap() = value;
        std::fs::write(directory.path().join("out/results.json"), foreign.to_string()).unwrap();
        let refused = report(&["out", "-o", "site"]);
        assert_eq!(refused.status.code(), Some(3));
        assert!(text(&refused.stderr).contains(said), "{said}: {}", text(&refused.stderr));
    }
    // No temporary files remain.
    let remaining = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(remaining, 2);
}

fn links_are_not_followed_and_invalid_parts_are_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let boot = at("out/a/kvm/report-0");
    std::fs::create_dir_all(&boot).unwrap();
    std::fs::write(at("out/a/results.json"), FOREIGN).unwrap();
    std::fs::write(at("secret"), "of the host\n").unwrap();
    let report = || ister(&["report", "out", "-o", "site"]).current_dir(directory.path()).output().unwrap();
    let page = || std::fs::read_to_string(at("site/kvm/report-0/index.html")).unwrap();
    std::fs::write(boot.join("serial.log"), "of the guest\n").unwrap();
    assert_eq!(report().status.code(), Some(0), "{}", text(&report().stderr));
    assert!(page().contains("of the guest"));
    std::fs::remove_file(boot.join("serial.log")).unwrap();
    std::os::unix::fs::symlink(at("secret"), boot.join("serial.log")).unwrap();
    assert_eq!(report().status.code(), Some(0), "{}", text(&report().stderr));
    assert!(!page().contains("of the host") && !at("site/kvm/report-0/serial.log").exists());
    // A FIFO without a writer.
    std::fs::remove_file(boot.join("serial.log")).unwrap();
    assert!(Command::new("mkfifo").arg(boot.join("serial.log")).status().unwrap().success());
    assert_eq!(report().status.code(), Some(0), "{}", text(&report().stderr));
    // The layout, the packages and the SBOM are linked.
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/vm-tests/kvm/template.json");
    let plan = ister(&["plan", template, "--format", "json"]).output().unwrap().stdout;
    std::fs::write(at("out/a/kvm/kvm.img.plan.json"), plan).unwrap();
    std::fs::write(at("out/a/kvm/kvm.img.packages"), "dash 1\n").unwrap();
    std::os::unix::fs::symlink(at("secret"), at("out/a/kvm/kvm.img.spdx.json")).unwrap();
    assert_eq!(report().status.code(), Some(0), "{}", text(&report().stderr));
    assert!(std::fs::read_to_string(at("site/kvm/plan.svg")).unwrap().contains("</svg>"));
    assert_eq!(std::fs::read_to_string(at("site/kvm/packages.txt")).unwrap(), "dash 1\n");
    assert!(!at("site/kvm/spdx.json").exists());
    let front = std::fs::read_to_string(at("site/index.html")).unwrap();
    assert!(front.contains("kvm/plan.svg") && front.contains("kvm/packages.txt") && !front.contains("spdx"));
    // A symbolic link to the site is preserved.
    std::fs::rename(at("site"), at("real")).unwrap();
    std::os::unix::fs::symlink("real", at("site")).unwrap();
    assert_eq!(report().status.code(), Some(0), "{}", text(&report().stderr));
    assert!(at("site").is_symlink());

    std::fs::create_dir(at("out/b")).unwrap();
    std::fs::write(at("out/b/results.json"), &FOREIGN[..200]).unwrap();
    let part = report();
    assert_eq!(part.status.code(), Some(3));
    assert!(
        text(&part.stderr).contains("invalid results file `out/b/results.json`"),
        "{}",
        text(&part.stderr)
    );
    assert!(text(&part.stdout).contains("1 of 1 type passed"), "{}", text(&part.stdout));
}

const FOREIGN: &str = r#"{
    "version": 3,
    "run": { "id": "n", "started": "2026-01-01T00:00:00Z", "seconds": 3.0, "planned": ["kvm"], "ister": "0.1.0", "shard": null },
    "types": [{
        "type": "kvm",
        "files": [],
        "steps": [{
            "kind": "boot", "name": "boot kvm.img", "command": "", "outcome": "passed", "seconds": 2.0, "what": "", "lines": [],
            "boot": {
                "file": "kvm.img", "firmware": "uefi", "accelerator": "tcg", "hardware": {}, "class": "login-prompt",
                "seconds": 2.0, "stages": [], "report": "kvm/report-0"
            }
        }]
    }]
}"#;

crate::tests! {
    a_change_picks_the_types_that_it_touches,
    shards_cover_every_type_once,
    restarted_shard_keeps_its_types,
    directory_without_types_is_an_error,
    revision_includes_uncommitted_changes,
    resumed_run_keeps_existing_results,
    renamed_hook_directory_selects_its_type,
    words_of_hook_commands_are_treated_as_paths,
    parts_are_merged_and_missing_results_are_listed,
    foreign_files_and_invalid_results_are_rejected,
    links_are_not_followed_and_invalid_parts_are_skipped,
}
