//! `ister lint` and related commands: formats, directories, fixes, levels, formatting, rules, new templates.

use crate::common::{ister, text, with_stdin};
use ister::lint::RULES;
use ister::plan::published::TYPES;
use serde_json::Value;
use std::path::Path;

/// A template with an error, a warning with two places, and notes.
const MIXED: &str = r#"{
    "DestinationType": "virtual",
    "PartitionLayout": [
        { "disk": "a.img", "partition": 1, "size": "32M", "type": "EFI" },
        { "disk": "a.img", "partition": 2, "size": "8GB", "type": "linux" }
    ],
    "FilesystemTypes": [
        { "disk": "a.img", "partition": 1, "type": "vfat" },
        { "disk": "a.img", "partition": 2, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "a.img", "partition": 1, "mount": "/boot" },
        { "disk": "a.img", "partition": 2, "mount": "/" }
    ],
    "SoftwareManager": "apt",
    "Version": "bookworm",
    "Users": [
        { "username": "ada", "password": { "env": "ADA" } }
    ],
    "Bundles": ["os-core", "kernel-kvm", "os-core"]
}
"#;

fn snapshot(name: &str, value: impl std::fmt::Display) {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, value);
    });
}

fn write(directory: &Path, name: &str, content: &str) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn every_format_shows_the_same_findings() {
    for format in ["human", "concise", "json", "sarif", "github", "junit"] {
        let output = with_stdin(&["lint", "-", "--stdin-filename", "a b/é.json", "--format", format], MIXED);
        assert_eq!(output.status.code(), Some(1), "{format}");
        let mut shown = text(&output.stdout);
        if format == "sarif" {
            // The list of rules is part of every report; another snapshot covers it.
            let mut report: Value = serde_json::from_str(&shown).unwrap();
            let rules = report["runs"][0]["tool"]["driver"]["rules"].take();
            assert_eq!(rules.as_array().unwrap().len(), RULES.len());
            report["runs"][0]["originalUriBaseIds"]["%SRCROOT%"]["uri"] = "file:///CHECKOUT/".into();
            shown = serde_json::to_string_pretty(&report).unwrap();
        }
        snapshot(&format!("lint-{format}"), shown);
    }
}

fn directories_are_searched_for_templates() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["b.json", "sub/a.json", "sub/deep/c.json"] {
        write(directory.path(), name, MIXED);
    }
    write(directory.path(), "package.json", r#"{"name": "left-pad"}"#);
    write(directory.path(), ".hidden/x.json", MIXED);
    write(directory.path(), "node_modules/x/y.json", MIXED);
    write(directory.path(), "notes.txt", MIXED);
    let lint = || {
        ister(&["lint", ".", "b.json", "./b.json", "--format", "json"])
            .current_dir(directory.path())
            .output()
            .unwrap()
    };
    let first = lint();
    let report: Value = serde_json::from_slice(&first.stdout).unwrap();
    let files: Vec<&str> =
        report["files"].as_array().unwrap().iter().map(|f| f["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["./b.json", "./sub/a.json", "./sub/deep/c.json", "b.json"]);
    for _ in 0..5 {
        assert_eq!(lint().stdout, first.stdout, "the order is the same every time");
    }
}

fn fixes_preserve_the_rest_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "t.json", &MIXED.replace('\n', "\r\n").replace("    ", "\t"));
    let run = |args: &[&str]| ister(args).arg("t.json").current_dir(directory.path()).output().unwrap();
    let read = || std::fs::read_to_string(directory.path().join("t.json")).unwrap();
    let before = read();

    let diff = run(&["lint", "--diff"]);
    assert_eq!(diff.status.code(), Some(1), "the exit code reports changes");
    snapshot("lint-diff", text(&diff.stdout).replace('\r', "").replace('\t', "    "));
    assert_eq!(read(), before, "--diff writes nothing");

    let fixed = run(&["lint", "--fix"]);
    assert!(text(&fixed.stdout).contains("2 fixes applied"), "{}", text(&fixed.stdout));
    assert_eq!(read(), before.replace("8GB", "8G").replace(", \"os-core\"]", "]"));
    assert!(fixed.status.success(), "all errors are fixed");
    let again = run(&["lint", "--fix"]);
    assert!(!text(&again.stdout).contains("applied"), "there is nothing left to fix");
    assert_eq!(run(&["lint", "--diff"]).stdout, b"");
}

fn fixes_preserve_permissions_and_symbolic_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "real/t.json", MIXED);
    let real = directory.path().join("real/t.json");
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/t.json", directory.path().join("link.json")).unwrap();
    let output = ister(&["lint", "--fix", "link.json"]).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success());
    assert!(directory.path().join("link.json").is_symlink());
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!std::fs::read_to_string(&real).unwrap().contains("8GB"));
    assert_eq!(
        std::fs::read_dir(directory.path().join("real")).unwrap().count(),
        1,
        "there are no leftover temporary files"
    );
}

fn fixed_standard_input_is_printed() {
    let output = with_stdin(&["lint", "--fix", "-"], "{ 'Hostname': \"a\", }");
    assert_eq!(text(&output.stdout), "{ \"Hostname\": \"a\" }");
    assert!(text(&output.stderr).contains("missing-key"));
}

fn levels_can_be_changed() {
    let lint = |args: &[&str]| {
        let mut all = vec!["lint", "-", "--format", "concise"];
        all.extend(args);
        with_stdin(&all, &MIXED.replace("8GB", "8G"))
    };
    assert_eq!(lint(&[]).status.code(), Some(0));
    let denied = lint(&["--deny", "warnings"]);
    assert_eq!(denied.status.code(), Some(1));
    assert!(text(&denied.stdout).contains("error[bundle-duplicate]"));
    assert_eq!(lint(&["--deny", "warnings", "--allow", "bundle-duplicate"]).status.code(), Some(0));
    assert!(!text(&lint(&["--allow", "notes"]).stdout).contains("esp-fat32"));
    let unknown = lint(&["--allow", "esp-fat23"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("did you mean `esp-fat32`?"), "{}", text(&unknown.stderr));
}

/// A hidden syntax error still prevents later fixes.
fn hidden_syntax_errors_still_prevent_fixes() {
    let template = MIXED.replace("\"8GB\"", "\"8GB");
    let output = with_stdin(&["lint", "-", "--allow", "syntax", "--fix"], &template);
    assert_eq!(text(&output.stdout), template);
}

fn statistics_count_the_rules() {
    let output = with_stdin(&["lint", "-", "--statistics"], MIXED);
    insta::assert_snapshot!(text(&output.stdout), @"
    findings  level    rule              --fix  --unsafe-fixes
           1  warning  bundle-duplicate      1               0
           1  note     esp-fat32             0               0
           1  error    partition-size        1               0
    ");
}

fn utf16_is_read_and_saved_as_utf8() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.json");
    let units = std::iter::once(0xfeff).chain(MIXED.encode_utf16());
    std::fs::write(&path, units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    let lint = |args: &[&str]| ister(args).arg(&path).output().unwrap();
    let output = lint(&["lint", "--format", "concise"]);
    assert!(text(&output.stdout).contains(":1:1: error[syntax] the file is UTF-16, but JSON must be UTF-8"));
    assert!(text(&output.stdout).contains("bundle-duplicate"), "other findings are still reported");
    assert!(lint(&["lint", "--fix"]).status.success());
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("{\n    \"DestinationType\""));

    // A file that is neither UTF-8 nor UTF-16 is not written.
    std::fs::write(&path, b"{\"Hostname\": \"\xff\", }").unwrap();
    let output = lint(&["lint", "--fix", "--format", "concise"]);
    assert!(text(&output.stdout).contains(":1:15: error[syntax] the file is neither UTF-8 nor UTF-16"));
    assert_eq!(std::fs::read(&path).unwrap(), b"{\"Hostname\": \"\xff\", }");
}

fn fmt_formats_checks_and_shows_diffs() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "t.json", &MIXED.replace("\n        {", " {"));
    write(directory.path(), "bad.json", "{\"PartitionLayout\": [], \"FilesystemTypes\": [,]}");
    let run = |args: &[&str]| ister(args).current_dir(directory.path()).output().unwrap();
    let check = run(&["fmt", "--check", "t.json"]);
    assert_eq!(
        (check.status.code(), text(&check.stdout)),
        (
            Some(1),
            "t.json: would be reformatted\n1 template would be reformatted, 0 already formatted\n".to_owned()
        )
    );
    assert!(text(&run(&["fmt", "--diff", "t.json"]).stdout).contains("+        { \"disk\": \"a.img\""));
    assert!(run(&["fmt", "t.json"]).status.success());
    assert_eq!(std::fs::read_to_string(directory.path().join("t.json")).unwrap(), MIXED);
    assert!(run(&["fmt", "--check", "t.json"]).status.success());
    let bad = run(&["fmt", "bad.json"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("bad.json:1:45: could not format: invalid JSON: unexpected comma"));
    assert_eq!(text(&with_stdin(&["fmt", "-"], "{\"a\":1}").stdout), "{\n    \"a\": 1\n}\n");
}

fn rules_are_explained() {
    let output = ister(&["explain", "esp-small"]).output().unwrap();
    snapshot("explain-esp-small", text(&output.stdout));
    let output = ister(&["explain", "esp-smal"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean `esp-small`?"));
    let output = ister(&["rules", "--format", "json"]).output().unwrap();
    let rules: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rules["rules"].as_array().unwrap().len(), RULES.len());
}

fn rules_page_is_up_to_date() {
    let output = ister(&["rules", "--format", "markdown"]).output().unwrap();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md")).unwrap();
    assert_eq!(
        page,
        text(&output.stdout),
        "docs/rules.md is outdated; run `ister rules --format markdown > docs/rules.md`"
    );
    let readme = include_str!("../README.md");
    assert!(readme.contains(&format!("[all {} rules](docs/rules.md)", RULES.len())));
}

/// The human-readable output for every rule.
fn human_output_of_every_rule() {
    let base: Value = serde_json::from_str(include_str!("../vm-tests/kvm/template.json")).unwrap();
    let mut shown = String::new();
    for rule in RULES {
        let example = rule.example.trim();
        let inside = example[1..example.len() - 1].trim();
        let others: Vec<String> = base
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, _)| {
                !inside.contains(&format!("\"{key}\"")) && !inside.contains(&format!("'{key}'"))
            })
            .map(|(key, value)| format!("    \"{key}\": {value}"))
            .collect();
        let template = format!("{{\n    {inside},\n{}\n}}\n", others.join(",\n"));
        let output = with_stdin(&["lint", "-", "--stdin-filename", "t.json"], &template);
        let text = text(&output.stdout);
        shown += &format!("{}\n", text.split("1 template checked").next().unwrap().trim_end());
        shown += "\n";
    }
    snapshot("rules-human", shown);
}

fn new_templates_are_valid_and_formatted() {
    let directory = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| ister(args).current_dir(directory.path()).output().unwrap();
    for kind in TYPES {
        let file = format!("{}.json", kind.name);
        let output = run(&["new", kind.name, "-o", &file]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        // Users must be added before anybody can log in.
        let output =
            run(&["lint", &file, "--deny", "notes", "--deny", "warnings", "--allow", "login-impossible"]);
        assert!(output.status.success(), "{}: {}", kind.name, text(&output.stdout));
        assert!(run(&["fmt", "--check", &file]).status.success());
        let template: Value =
            serde_json::from_slice(&std::fs::read(directory.path().join(&file)).unwrap()).unwrap();
        assert_eq!(template["$schema"], "./ister-template.schema.json");
        let plan = run(&["plan", &file]);
        assert!(plan.status.success(), "{}: {}", kind.name, text(&plan.stderr));
    }
    let schema = std::fs::read_to_string(directory.path().join("ister-template.schema.json")).unwrap();
    assert_eq!(schema, ister::template::SCHEMA_TEXT);
    let output = run(&["new", "kvm", "-o", "kvm.json"]);
    assert_eq!(output.status.code(), Some(2), "nothing is overwritten");
    let output = run(&["new", "kmv"]);
    assert!(text(&output.stderr).contains("did you mean `kvm`?"));
    let table = text(&run(&["new"]).stdout);
    assert!(TYPES.iter().all(|kind| table.contains(&kind.purpose())));
}

fn completions_and_manual_pages_are_generated() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = ister(&["completions", shell]).output().unwrap();
        let script = text(&output.stdout);
        assert!(script.contains("unsafe-fixes") && !script.contains("namespace-worker"), "{shell}");
    }
    let directory = tempfile::tempdir().unwrap();
    let output = ister(&["man", "--dir"]).arg(directory.path()).output().unwrap();
    assert!(output.status.success());
    for page in ["ister.1", "ister-lint.1", "ister-build.1", "ister-lsp.1"] {
        assert!(directory.path().join(page).is_file(), "{page}");
    }
    let page = text(&ister(&["man", "lint"]).output().unwrap().stdout);
    assert!(page.contains(".TH") && page.contains("\\-\\-unsafe\\-fixes"));
    assert_eq!(ister(&["man", "limt"]).output().unwrap().status.code(), Some(2));
}

fn files_of_ten_megabytes_are_checked() {
    let deep = "[".repeat(10_000_000);
    let keys: Vec<String> = (0..700_000).map(|n| format!("\"key{n}\":1")).collect();
    let keys = format!("{{\"PartitionLayout\": [], {}}}", keys.join(","));
    let entries: Vec<String> = (1..90_000)
        .map(|n| format!("{{\"disk\":\"a\",\"partition\":{n},\"size\":\"1M\",\"type\":\"linux\"}}"))
        .collect();
    let entries = format!("{{\"PartitionLayout\": [{}]}}", entries.join(","));
    for template in [deep, keys, entries, "{'a': ".repeat(2_000_000), "\"".repeat(10_000_000)] {
        let output = with_stdin(&["lint", "-", "--format", "concise"], &template);
        assert_eq!(output.status.code(), Some(1));
        let lines = text(&output.stdout).lines().count();
        assert!((1..=2 * ister::finding::MAX_FINDINGS).contains(&lines), "{lines}");
    }
}

/// All key types of ssh-keygen, and a certificate of each.
fn keys_of_ssh_keygen_are_accepted() {
    use ister::template::ssh_key::authorized_keys;
    crate::common::need_tools(&["ssh-keygen"]);
    let directory = tempfile::tempdir().unwrap();
    let keygen = |arguments: &[&str]| {
        let mut command = std::process::Command::new("ssh-keygen");
        let output = command.args(arguments).current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "ca"]);
    for (kind, bits) in
        [("ed25519", "256"), ("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521")]
    {
        let name = format!("{kind}{bits}");
        keygen(&["-q", "-t", kind, "-b", bits, "-N", "", "-f", &name]);
        keygen(&["-q", "-s", "ca", "-I", "id", "-n", "ada", &format!("{name}.pub")]);
        for file in [format!("{name}.pub"), format!("{name}-cert.pub")] {
            let key = std::fs::read_to_string(directory.path().join(file)).unwrap();
            let read = authorized_keys(&format!("no-pty,from=\"10.0.0.0/8\" {key}"));
            assert!(read.len() == 1 && read[0].is_ok(), "{read:?}");
        }
    }
}

crate::tests! {
    every_format_shows_the_same_findings,
    directories_are_searched_for_templates,
    fixes_preserve_the_rest_of_the_file,
    fixes_preserve_permissions_and_symbolic_links,
    fixed_standard_input_is_printed,
    levels_can_be_changed,
    hidden_syntax_errors_still_prevent_fixes,
    statistics_count_the_rules,
    utf16_is_read_and_saved_as_utf8,
    fmt_formats_checks_and_shows_diffs,
    rules_are_explained,
    rules_page_is_up_to_date,
    human_output_of_every_rule,
    new_templates_are_valid_and_formatted,
    completions_and_manual_pages_are_generated,
    files_of_ten_megabytes_are_checked,
    keys_of_ssh_keygen_are_accepted,
}
