//! The command line: output, error messages and exit codes. These tests do not build or boot images.

use crate::common::{ister, text};

const GOOD: &str = "vm-tests/kvm/template.json";

fn help_fits_in_80_columns() {
    for command in [
        "",
        "build",
        "boot",
        "test",
        "report",
        "publish",
        "lint",
        "fmt",
        "lsp",
        "explain",
        "rules",
        "new",
        "plan",
        "cache",
        "doctor",
        "schema",
        "completions",
        "man",
    ] {
        let mut args = vec!["--help"];
        if !command.is_empty() {
            args.insert(0, command);
        }
        let output = ister(&args).output().unwrap();
        assert!(output.status.success(), "{command}");
        let help = text(&output.stdout);
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
    }
}

fn all_findings_are_reported_with_places() {
    let template = r#"{
    "DestinationType": "virtaul",
    "PartitionLayout": [
        { "disk": "a.img", "partition": 1, "size": "512", "type": "EFI" },
        { "disk": "a.img", "partition": 2, "size": "8G", "type": "linux", }
    ],
    "FilesystemTypes": [
        { "disk": "a.img", "partition": 1, "type": "vfat" },
        { "disk": "a.img", "partition": 3, "type": "ext4" }
    ],
    "PartitionMountPoints": [
        { "disk": "a.img", "partition": 1, "mount": "/boot" },
        { "disk": "a.img", "partition": 2, "mount": "/boot" }
    ],
    "Version": 0,
    "Bundels": ["os-core"],
    "Hostname": "a_b",
    "Hostname": "ok",
    "LegacyBios": "yes"
}
"#;
    let output = crate::common::with_stdin(&["lint", "-", "--stdin-filename", "a.json"], template);
    assert_eq!(output.status.code(), Some(1));
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("findings-human", text(&output.stdout));
    });
    let output = crate::common::with_stdin(&["lint", "-", "--format", "json"], template);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["version"], 1);
    let first = &json["findings"][0];
    assert_eq!((first["place"]["line"].as_u64(), first["place"]["column"].as_u64()), (Some(2), Some(24)));
}

fn good_templates_have_no_findings() {
    let output = ister(&["lint", GOOD, "vm-tests/kvm-legacy/template.json"]).output().unwrap();
    assert_eq!(text(&output.stdout), "2 templates checked: 0 errors, 0 warnings, 0 notes\n");
    assert!(output.status.success());
}

fn plan_and_build_reject_templates_with_errors() {
    for command in ["plan", "build"] {
        let output = crate::common::with_stdin(&[command, "-"], "{}");
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(output.stdout.is_empty());
        let stderr = text(&output.stderr);
        assert!(stderr.contains("error[missing-key]: missing required key `Bundles`"), "{stderr}");
    }
    let output = crate::common::with_stdin(&["-t", "-"], "{}");
    assert_eq!(output.status.code(), Some(1));
}

fn plan_prints_a_table_or_json_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let template = std::fs::canonicalize(GOOD).unwrap();
    // An empty cache, so that the plan does not depend on cached content.
    let cache = tempfile::tempdir().unwrap();
    let output = ister(&["plan", template.to_str().unwrap()])
        .env("XDG_CACHE_HOME", cache.path())
        .current_dir(&directory)
        .output()
        .unwrap();
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("plan-kvm-table", text(&output.stdout));
    });
    let output = ister(&["plan", "-t", template.to_str().unwrap(), "--format", "json"])
        .current_dir(&directory)
        .output()
        .unwrap();
    let plan: ister::plan::Plan = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan.disks[0].partitions[2].mount.as_deref(), Some("/"));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

fn overrides_change_one_key() {
    let output =
        ister(&["plan", GOOD, "--set", "Hostname=\"x\"", "--set", "Version=\"trixie\"", "--format", "json"])
            .output()
            .unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["system"]["hostname"], "x");
    assert_eq!(plan["content"]["release"], "trixie");

    let output = ister(&["plan", GOOD, "--set", "Version=bookworm"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("did you mean Version='\"bookworm\"'?"));
}

fn custom_bundles_take_precedence() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("editors"), "# [TITLE]: editors\ned\n").unwrap();
    let output =
        ister(&["plan", GOOD, "--format", "json", "--bundles"]).arg(directory.path()).output().unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages: Vec<&str> =
        plan["content"]["packages"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
    assert!(packages.contains(&"ed") && !packages.contains(&"nano"));
}

fn unreadable_files_are_usage_errors() {
    let output = ister(&["lint", "no-such-file.json", GOOD]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).starts_with("1 template checked"), "other files are still checked");
    assert!(text(&output.stderr).contains("could not read the template `no-such-file.json`: No such file"));
}

fn swupd_content_needs_a_url_and_a_certificate() {
    let template = std::fs::read_to_string(GOOD)
        .unwrap()
        .replace("\"SoftwareManager\": \"apt\"", "\"SoftwareManager\": \"swupd\"")
        .replace("\"bookworm\"", "34000");
    let directory = tempfile::tempdir().unwrap();
    let places = ["-o", "out", "--cache-dir", "cache"].map(|name| match name {
        "out" | "cache" => directory.path().join(name).display().to_string(),
        option => option.to_owned(),
    });
    let build = |more: &[&str]| {
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        let output = crate::common::with_stdin(&[&["build", "-"], more, &places].concat(), &template);
        assert_eq!(output.status.code(), Some(3));
        text(&output.stderr)
    };
    // A host that uses swupd has defaults for both.
    if !std::path::Path::new("/usr/share/defaults/swupd/contenturl").exists() {
        let said = build(&[]);
        assert!(said.contains("error: no content URL configured for swupd"), "{said}");
        assert!(said.contains("help: specify a mix or mirror with -C URL"), "{said}");
        let said = build(&["-C", "file:///no/such"]);
        assert!(said.contains("error: no certificate configured for swupd content"), "{said}");
        assert!(said.contains("-s FILE"), "{said}");
    }
    let said = build(&["-C", "file:///no/such", "--no-sigcheck"]);
    assert!(said.contains("error: could not fetch version 34000 from file:///no/such"), "{said}");
}

fn missing_and_invalid_images_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("empty.img");
    let boot = |image: &std::path::Path| ister(&["boot"]).arg(image).output().unwrap();
    let output = boot(&image);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("empty.img` does not exist"));
    std::fs::write(&image, vec![0; 1 << 20]).unwrap();
    let output = boot(&image);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot tell which firmware"));
    // A damaged plan is an error, because the image cannot be compared with it.
    std::fs::write(directory.path().join("empty.img.plan.json"), "{ \"version\": 3, ").unwrap();
    let output = boot(&image);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("empty.img.plan.json` is not a plan"), "{}", text(&output.stderr));
    let output = ister(&["boot", "--until", "power-off", "--again"]).arg(&image).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

fn a_closed_pipe_is_not_an_error() {
    let script = format!("'{}' schema | head -c 10 >/dev/null", env!("CARGO_BIN_EXE_ister"));
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
}

fn an_empty_cache_is_listed_and_pruned() {
    let directory = tempfile::tempdir().unwrap();
    let cache =
        |action: &str| ister(&["cache", action, "--cache-dir"]).arg(directory.path()).output().unwrap();
    assert_eq!(text(&cache("list").stdout), format!("{}: 0 entries, 0 bytes\n", directory.path().display()));
    assert_eq!(text(&cache("prune").stdout), "removed 0 trees, 0 bytes freed\n");
}

crate::tests! {
    help_fits_in_80_columns,
    all_findings_are_reported_with_places,
    good_templates_have_no_findings,
    plan_and_build_reject_templates_with_errors,
    plan_prints_a_table_or_json_and_writes_nothing,
    overrides_change_one_key,
    custom_bundles_take_precedence,
    unreadable_files_are_usage_errors,
    swupd_content_needs_a_url_and_a_certificate,
    missing_and_invalid_images_are_reported,
    a_closed_pipe_is_not_an_error,
    an_empty_cache_is_listed_and_pruned,
}
