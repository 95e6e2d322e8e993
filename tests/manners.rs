//! Habits that users expect of a command-line program: where paths start, exit codes of missing inputs, what fixes do, and
//! manual pages.

use crate::common::{ister, need_tools, text};
use std::path::Path;
use std::process::Output;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbYrmBmYDZzjhbOlc3dQ2gBHPpCt4gAKbpE8UwVMz1U ada\n";

fn run_in(directory: &Path, args: &[&str]) -> Output {
    ister(args).current_dir(directory).output().unwrap()
}

/// A new template in a directory.
fn new_template(directory: &Path) -> String {
    let output = run_in(directory, &["new", "kvm", "-o", "t.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    std::fs::read_to_string(directory.join("t.json")).unwrap()
}

fn missing_inputs_are_usage_errors() {
    let directory = tempfile::tempdir().unwrap();
    for args in [
        &["verify", "nope.img"][..],
        &["diff", "nope.img", "nope.img"],
        &["boot", "nope.img"],
        &["report", "nope"],
        &["publish", "nope", "-o", "out"],
        &["lint", "nope.json"],
        &["fmt", "nope.json"],
        &["plan", "nope.json"],
        &["build", "nope.json", "-o", "out"],
        &["new", "kvm", "-o", "nope/t.json"],
        &["lint", "--bundles", "nope", "."],
        &["boot", "/dev/null", "--login", "root", "--checks", "nope.yaml"],
        &["boot", "/dev/null", "--login", "root", "--test", "nope.sh"],
    ] {
        let output = run_in(directory.path(), args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains("nope"), "{args:?}: {stderr}");
        assert!(!stderr.contains("os error"), "{args:?}: {stderr}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

fn options_without_effect_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    new_template(directory.path());
    std::fs::write(directory.path().join("c.yaml"), "user: {root: {exists: true}}").unwrap();
    for (args, named) in [
        (&["lint", "--statistics", "--format", "json", "t.json"][..], "--statistics"),
        (&["lint", "--diff", "--format", "sarif", "t.json"], "--diff"),
        (&["plan", "--wide", "--format", "json", "t.json"], "--wide"),
        (&["plan", "--wide", "--diff", "t.json", "t.json"], "--wide"),
        (&["boot", "/dev/null", "--checks", "c.yaml"], "--checks"),
        (&["boot", "/dev/null", "--cloud", "ec2", "--ssh", "root=key"], "--ssh"),
    ] {
        let output = run_in(directory.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && text(&output.stderr).contains(named), "{args:?}");
    }
}

fn numbers_have_errors_in_words() {
    for args in [
        &["boot", "x", "--memory", "10"][..],
        &["boot", "x", "--cpus", "256"],
        &["boot", "x", "--dwell", "x"],
        &["build", "x", "--hook-timeout", "0"],
        &["test", "-j", "0"],
    ] {
        let output = ister(args).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("expected a") && !stderr.contains("..="), "{stderr}");
    }
    let output = ister(&["--verion"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("'--version'"), "{}", text(&output.stderr));
}

fn lint_without_paths_checks_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    let lint = |args: &[&str]| {
        let output = run_in(directory.path(), &[&["lint"], args].concat());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, _, stderr) = lint(&[]);
    assert_eq!((code, stderr.as_str()), (Some(0), "warning: no templates found in `.`\n"));
    let (code, _, stderr) = lint(&["--deny", "warnings"]);
    assert_eq!((code, stderr.as_str()), (Some(1), "error: no templates found in `.`\n"));
    let (code, _, stderr) = lint(&["--allow", "warnings"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    new_template(directory.path());
    let (code, stdout, stderr) = lint(&[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("1 template checked"), "{stdout}");
}

fn fixes_are_counted_listed_and_made_only_with_fix() {
    let directory = tempfile::tempdir().unwrap();
    let good = new_template(directory.path());
    let path = directory.path().join("t.json");
    // A safe fix, and one that is a guess.
    let broken = good.replace("\"Hostname\"", "\"hostname\"").replacen(
        "\"kvm.img\", \"partition\": 3, \"type\"",
        "\"kvn.img\", \"partition\": 3, \"type\"",
        1,
    );
    std::fs::write(&path, &broken).unwrap();
    let lint = |args: &[&str]| text(&run_in(directory.path(), &[&["lint", "t.json"], args].concat()).stdout);
    let stdout = lint(&[]);
    assert!(stdout.contains("1 fix available with `--fix`, 1 more with `--unsafe-fixes`"), "{stdout}");
    assert!(lint(&["--unsafe-fixes"]).contains("1 fix available"), "--unsafe-fixes alone fixed something");
    let diff = lint(&["--diff"]);
    assert!(
        diff.contains("+    \"Hostname\"") && !diff.contains("-        { \"disk\": \"kvn.img\""),
        "{diff}"
    );
    let diff = lint(&["--diff", "--unsafe-fixes"]);
    assert!(diff.contains("-        { \"disk\": \"kvn.img\""), "{diff}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
    let stdout = lint(&["--fix"]);
    assert!(stdout.contains("fixed t.json:31: rename it to `Hostname` [misspelt-key]"), "{stdout}");
    assert!(stdout.contains("1 fix applied\n1 fix available with `--fix --unsafe-fixes`"), "{stdout}");
    let stdout = lint(&["--fix", "--unsafe-fixes"]);
    assert!(stdout.contains("replace with `kvm.img` [filesystem-without-partition]"), "{stdout}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), good);
}

/// A mistake gives a single finding, whatever follows from it.
fn one_mistake_is_one_finding() {
    let directory = tempfile::tempdir().unwrap();
    let good = new_template(directory.path());
    let errors = |from: &str, to: &str| -> Vec<String> {
        let broken = good.replacen(from, to, 1);
        assert_ne!(broken, good, "{from}");
        std::fs::write(directory.path().join("t.json"), broken).unwrap();
        let output = run_in(directory.path(), &["lint", "t.json", "--format", "concise"]);
        let lines = text(&output.stdout);
        let errors = lines.lines().filter(|line| line.contains(": error["));
        errors
            .map(|line| line.split_once("error[").unwrap().1.split_once(']').unwrap().0.to_owned())
            .collect()
    };
    assert_eq!(errors("\"Bundles\"", "\"Bundels\""), ["misspelt-key"]);
    assert_eq!(errors("\"mount\": \"/\"", "\"mont\": \"/\""), ["misspelt-key"]);
    assert_eq!(errors("\"size\": \"512M\"", "\"szie\": \"512M\""), ["misspelt-key"]);
    let filesystem = "\"kvm.img\", \"partition\": 3, \"type\"";
    assert_eq!(errors(filesystem, &filesystem.replace("kvm", "kvn")), ["filesystem-without-partition"]);
    let mount = "\"kvm.img\", \"partition\": 3, \"mount\"";
    assert_eq!(errors(mount, &mount.replace("kvm", "kvn")), ["mount-without-filesystem"]);
    assert_eq!(errors("\"8G\"", "\"8\""), ["partition-size"]);
    // This is a misspelt `VersionURL`, so `Version` is missing too.
    assert_eq!(errors("\"Version\"", "\"VersionUR\""), ["missing-key", "misspelt-key"]);
}

fn relative_paths_start_at_the_template() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let good = new_template(&below);
    std::fs::write(below.join("ada.pub"), KEY).unwrap();
    std::fs::write(below.join("hook"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(below.join("hook"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let users =
        r#""Users": [{ "username": "ada", "key": "ada.pub" }], "PostNonChroot": ["./hook"], "Hostname""#;
    std::fs::write(below.join("t.json"), good.replacen("\"Hostname\"", users, 1)).unwrap();
    for (start, template) in [(directory.path(), "below/t.json"), (&below, "t.json"), (&below, "./t.json")] {
        let output = run_in(start, &["lint", "--deny", "warnings", template]);
        assert_eq!(output.status.code(), Some(0), "{template}: {}", text(&output.stdout));
        let output = run_in(start, &["plan", template]);
        assert_eq!(output.status.code(), Some(0), "{template}: {}", text(&output.stderr));
    }
    // ister.py started at the working directory.
    let output = run_in(directory.path(), &["-t", "below/t.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("error[hook-missing]"), "{}", text(&output.stderr));
}

fn new_templates_are_named_and_sized() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ada.pub"), KEY).unwrap();
    let args = [
        "new",
        "kvm",
        "-o",
        "web.json",
        "--name",
        "web",
        "--root-size",
        "4G",
        "--user",
        "ada",
        "--key",
        "ada.pub",
    ];
    let output = run_in(directory.path(), &args);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("next: edit it, then `ister lint web.json`"),
        "{}",
        text(&output.stderr)
    );
    let template = std::fs::read_to_string(directory.path().join("web.json")).unwrap();
    assert!(template.contains(r#""disk": "web.img", "partition": 3, "size": "4G""#), "{template}");
    assert!(template.contains(r#""Hostname": "web""#) && !template.contains("kvm.img"), "{template}");
    let output = run_in(directory.path(), &["lint", "--deny", "warnings", "--deny", "notes"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let again = run_in(directory.path(), &args);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("use --force"), "{}", text(&again.stderr));
    assert_eq!(run_in(directory.path(), &[&args[..], &["--force"]].concat()).status.code(), Some(0));
    // Only files are replaced.
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let output = run_in(directory.path(), &["new", "kvm", "-o", "fifo", "--force"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("not a regular file"), "{}", text(&output.stderr));
    assert!(!fifo.is_file());
}

fn bundles_are_listed_and_shown() {
    let list = text(&ister(&["bundles"]).output().unwrap().stdout);
    assert!(list.contains("os-core") && list.lines().count() > 30, "{list}");
    let shown = text(&ister(&["bundles", "editors"]).output().unwrap().stdout);
    assert!(shown.contains("packages   nano, vim"), "{shown}");
    let unknown = ister(&["bundles", "editor"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("did you mean `editors`?"), "{}", text(&unknown.stderr));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("web"), "# [DESCRIPTION]: a web server\nnginx\ninclude(editors)\n")
        .unwrap();
    let output = run_in(directory.path(), &["bundles", "web", "--bundles", ".", "--format", "json"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["bundles"][0]["includes"][0], "editors");
}

/// mandoc finds no errors or warnings in the manual pages, and each has the usual sections.
fn manual_pages_are_valid() {
    need_tools(&["mandoc"]);
    let directory = tempfile::tempdir().unwrap();
    assert!(run_in(directory.path(), &["man", "--dir", "."]).status.success());
    let pages: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 20, "{pages:?}");
    for page in &pages {
        let output = std::process::Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(page)
            .output()
            .unwrap();
        assert_eq!(text(&output.stdout), "", "{}", page.display());
        let source = std::fs::read_to_string(page).unwrap();
        for section in ["EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO"] {
            assert!(
                source.contains(&format!(".SH \"{section}\"")) || source.contains(&format!(".SH {section}")),
                "{}: {section}",
                page.display()
            );
        }
        assert!(!source.contains("namespace\\-worker"), "{}", page.display());
    }
}

/// `verify` takes the same options for levels as `lint`.
fn levels_of_verify_findings_can_be_changed() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("t.img"), vec![0; 1 << 20]).unwrap();
    let verify = |args: &[&str]| {
        let output =
            run_in(directory.path(), &[&["verify", "-q", "t.img", "--format", "concise"], args].concat());
        (output.status.code(), text(&output.stdout))
    };
    let (code, found) = verify(&[]);
    assert_eq!(code, Some(1), "{found}");
    let rule = found.lines().next().unwrap().split(['[', ']']).nth(1).unwrap().to_owned();
    let (_, found) = verify(&["--warn", &rule]);
    assert!(found.contains(&format!("warning[{rule}]")), "{found}");
    let (_, found) = verify(&["--allow", &rule]);
    assert!(!found.contains(&rule), "{found}");
    assert_eq!(verify(&["--deny", "esp-small"]).0, Some(2), "esp-small is a rule of lint");
}

crate::tests! {
    missing_inputs_are_usage_errors,
    options_without_effect_are_refused,
    numbers_have_errors_in_words,
    lint_without_paths_checks_the_working_directory,
    fixes_are_counted_listed_and_made_only_with_fix,
    one_mistake_is_one_finding,
    relative_paths_start_at_the_template,
    new_templates_are_named_and_sized,
    bundles_are_listed_and_shown,
    manual_pages_are_valid,
    levels_of_verify_findings_can_be_changed,
}
