use super::*;
use std::process::Command;

const FILE: &str = r#"
file:
  FILE:
    exists: true
    mode: "0640"
    filetype: file
    size: 12
    contents: ["hello", "!/^bye/"]
    sha256: {have-len: 64}
  LINK:
    exists: true
    filetype: symlink
    linked-to: FILE
  /nowhere: {exists: false}
  ~root: {exists: true, filetype: directory}
user:
  root: {exists: true, uid: 0, groups: [root], home: /root}
  nobody-at-all: {exists: false}
group:
  root: {exists: true, gid: 0}
mount:
  /proc: {exists: true, filesystem: proc, opts: [rw]}
kernel-param:
  kernel.ostype: {value: Linux}
process:
  nothing-of-this: {running: false}
command:
  echo hi; echo bad >&2; exit 3:
    exit-status: 3
    stdout: [hi]
    stderr: ["/^bad$/"]
  slow:
    exec: sleep 30
    exit-status: 0
    timeout: 1000
  left out: {exit-status: 0, skip: true}
dns:
  localhost: {resolvable: true, addrs: {contain-element: {match-regexp: "^(127|::1)"}}}
"#;

/// Runs the commands in a shell of this host, with a file of functions for each test.
fn answers(checks: &Checks) -> Vec<Answer> {
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("functions").display().to_string();
    let run = |command: String| {
        let command = command.replace(FUNCTIONS_FILE, &own);
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        Answer { command, status: 0, lines }
    };
    checks.commands(true).into_iter().map(run).collect()
}

fn run(checks: &Checks) -> Vec<CheckResult> {
    checks.judge(&answers(checks), &[]).results
}

#[test]
fn facts_of_a_real_shell_are_compared() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a file's name");
    std::fs::write(&file, "hello world\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let text = FILE.replace("FILE", file.to_str().unwrap()).replace("LINK", link.to_str().unwrap());
    let mut checks = Checks::default();
    checks.add(&text).unwrap();
    let results = run(&checks);
    assert_eq!(results.len(), 14);
    for result in &results {
        match result.check.as_str() {
            "command slow" => {
                assert_eq!(result.problems, ["it did not finish within 1 s"]);
            }
            "command left out" => assert_eq!(result.outcome, CheckOutcome::Skipped),
            _ => assert_eq!(
                (result.outcome, &result.problems[..]),
                (CheckOutcome::Passed, &[][..]),
                "{result:?}"
            ),
        }
    }
    // Everything different.
    std::fs::write(&file, "bye\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let results = run(&checks);
    assert_eq!(
        results[0].problems,
        [
            r#"mode: expected "0640", found "0600""#,
            "size: expected 12, found 4",
            r#"contents: expected ["hello","!/^bye/"], found "bye\n""#,
        ]
    );
}

#[test]
fn scripts_pass_skip_and_fail() {
    let mut checks = Checks::default();
    checks.add_script("tests/good.sh", b"#!/bin/sh\necho x >$ISTER_RESULTS/log\n".to_vec()).unwrap();
    checks.add_script("tests/skip.sh", b"#!/bin/sh\necho no network\nexit 77\n".to_vec()).unwrap();
    checks.add_script("tests/bad.sh", b"#!/bin/sh\necho one; echo two >&2; exit 5\n".to_vec()).unwrap();
    let judged = checks.judge(&answers(&checks), &[]);
    let said: Vec<(CheckOutcome, &[String])> =
        judged.results.iter().map(|result| (result.outcome, &result.problems[..])).collect();
    assert_eq!(said[0], (CheckOutcome::Passed, &[][..]));
    assert_eq!(said[1], (CheckOutcome::Skipped, &["no network".to_owned()][..]));
    assert_eq!(said[2].0, CheckOutcome::Failed);
    assert_eq!(said[2].1, ["exit status 5", "one", "two"]);
    let [(name, archive)] = &judged.archives[..] else { panic!("one archive is expected") };
    assert_eq!(name, "results-0-good.sh.tar");
    let mut archive = tar::Archive::new(archive.as_slice());
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
    assert!(names.into_iter().any(|name| name.ends_with("log")));
}

#[test]
fn lost_and_damaged_answers_are_problems() {
    let mut checks = Checks::default();
    checks.add("user: {root: {exists: true}}").unwrap();
    let judge = |lines: &[&str]| {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        let results = checks.judge(&[Answer { command: String::new(), status: 0, lines }], &[]).results;
        results[0].problems.clone()
    };
    assert_eq!(judge(&[]), ["the guest did not answer"]);
    let good =
        ["ister-check: 0 exists=", "[ 3.1] noise ister-check: 0 exists+ dHJ1ZQ==", "ister-check: 0 done="];
    assert_eq!(judge(&good), [""; 0]);
    let damaged = [good[0], "ister-check: 0 exists+ dHJ[ 3.1] noise1ZQ==", good[2]];
    assert_eq!(judge(&damaged), ["the answer was mixed with other output of the console"]);
    let lost = [good[0], "ister-check: 0 exists# 8", good[2]];
    assert_eq!(judge(&lost), ["the answer was mixed with other output of the console"]);
}

#[test]
fn ports_and_mounts_are_read_from_proc() {
    let mut checks = Checks::default();
    checks
        .add("port: {'tcp:22': {listening: true, ip: [0.0.0.0]}, 'tcp6:22': {listening: true, ip: ['::1']}, 'tcp:80': {listening: false}}\n\
              mount: {/a b: {exists: true, source: /dev/vda2, filesystem: ext4, opts: [ro], vfs-opts: [rw], usage: {lt: 50}}, /c: {exists: false}}")
        .unwrap();
    assert!(checks.commands(false)[1].ends_with(" check_port 0 tcp 0016"));
    let mut lines = Vec::new();
    let mut put = |index: usize, name: &str, value: &str| {
        lines.push(format!("ister-check: {index} {name}="));
        lines.push(format!("ister-check: {index} {name}+ {}", STANDARD.encode(value)));
        lines.push(format!("ister-check: {index} done="));
    };
    put(0, "table", "   0: 00000000:0016 00000000:0000 0A 0 0\n   1: 0100007F:0016 0F02000A:1234 01 0 0\n");
    put(
        1,
        "table",
        "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 0\n",
    );
    put(2, "table", "");
    let mounts =
        "21 1 8:2 / / rw - ext4 /dev/vda1 rw\n22 21 8:2 / /a\\040b ro,noatime shared:1 - ext4 /dev/vda2 rw\n";
    put(3, "table", mounts);
    put(3, "df", "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda2 100 40 60 40% /a b\n");
    put(4, "table", mounts);
    for result in checks.judge(&[Answer { command: String::new(), status: 0, lines }], &[]).results {
        assert_eq!(result.outcome, CheckOutcome::Passed, "{result:?}");
    }
}

#[test]
fn invalid_files_are_rejected() {
    for (text, why) in [
        ("file: {/a: {exsts: true}}", "file: /a: unknown attribute `exsts`; did you mean `exists`?"),
        ("fil: {/a: {exists: true}}", "unknown kind of check `fil`; did you mean `file`?"),
        ("{}", "there are no checks"),
        ("file: {/a: {contents: []}}", "it has no expected value"),
        ("file: {/a: {mode: {}}}", "file: /a: mode: expected a matcher"),
        ("file: {/a: {}}", "file: /a: it has no expected value, so that it would always pass"),
        ("gossfile: {a.yaml: {}}", "checks of the kind `gossfile` are not supported: files are not included"),
        ("port: {ssh: {listening: true}}", "port: ssh: invalid port `ssh`"),
        ("file:\n  {{.Vars.x}}: {exists: true}", "templates are not supported"),
        ("file: [", "line 1"),
        ("file: {/a: {exists: true}}\nfile: {/b: {exists: true}}", "duplicate"),
        ("dns: {a: {resolvable: true, server: 8.8.8.8}}", "dns: a: server: not supported"),
    ] {
        let said = Checks::default().add(text).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
    let said = Checks::default().add_script("big", vec![0; 70_000]).unwrap_err();
    assert!(said.contains("70000 bytes"), "{said}");
}
