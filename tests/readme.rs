//! Runs all commands of the README, except those that other tests run.

use crate::common::text;
use std::path::Path;
use std::process::Command;

/// Commands that take long, and the tests that run them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("make demo", "vm-tests: kvm_builds_boots_and_gets_a_receipt"),
    ("make test", "this test"),
    ("ister build vm-tests/kvm/template.json -o out", "vm-tests: kvm_builds_boots_and_gets_a_receipt"),
    (
        "ister build vm-tests/kvm/template.json -o out --boot-test",
        "vm-tests: kvm_builds_boots_and_gets_a_receipt",
    ),
    (
        "ister build vm-tests/kvm-legacy/template.json -o out",
        "vm-tests: kvm_legacy_is_proven_as_a_type_and_published",
    ),
    (
        "ister build vm-tests/compatibility/template.json -o out",
        "vm-tests: what_ister_py_did_is_seen_in_the_running_system",
    ),
    ("ister boot out/kvm.img --report out/report", "vm-tests: World::boot"),
    (
        "ister build vm-tests/kvm/template.json -o out --check-reproducible",
        "tests/build.rs: builds_are_reproducible",
    ),
    ("ister build web.json -o out --boot-test", "vm-tests: tutorial_commands_work"),
    ("cargo install --locked --path .", "vm-tests: readme_on_debian_12_and_13"),
    ("ister test kvm", "vm-tests: kvm_legacy_is_proven_as_a_type_and_published"),
    (
        "ister report out/test -o out/site",
        "tests/pages.rs, vm-tests: a_node_of_a_slurm_cluster_dies_and_nothing_is_lost",
    ),
    ("ister test --changed HEAD --list", "tests/image_tests.rs: a_change_picks_the_types_that_it_touches"),
    ("ister publish out/test/kvm -o public", "vm-tests: kvm_legacy_is_proven_as_a_type_and_published"),
    ("ister verify out/kvm.img", "vm-tests: published_images_verify_in_every_format"),
    ("ister verify out/kvm.img --explain-boot", "tests/verify.rs: the_command_says_what_the_library_finds"),
    ("ister diff out/kvm.img out/kvm.img", "tests/verify.rs: two_images_are_compared_down_to_the_field"),
];

fn every_command_of_the_readme_works() {
    let readme = include_str!("../README.md");
    let cache = tempfile::tempdir().unwrap();
    // The quick start writes files.
    let quick_start = tempfile::tempdir().unwrap();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbYrmBmYDZzjhbOlc3dQ2gBHPpCt4gAKbpE8UwVMz1U ada\n";
    std::fs::write(quick_start.path().join("ada.pub"), key).unwrap();
    let mut commands = 0;
    for block in readme.split("```sh\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            let command = line.split('#').next().unwrap().trim();
            if command.is_empty() {
                continue;
            }
            commands += 1;
            if ELSEWHERE.iter().any(|(known, _)| *known == command) {
                continue;
            }
            let rest = command.strip_prefix("ister ").unwrap_or_else(|| panic!("no test runs `{command}`"));
            let output = Command::new(env!("CARGO_BIN_EXE_ister"))
                .args(rest.split_whitespace())
                .current_dir(if command.contains("web.json") {
                    quick_start.path()
                } else {
                    Path::new(env!("CARGO_MANIFEST_DIR"))
                })
                .env("XDG_CACHE_HOME", cache.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "`{command}`: {}", text(&output.stderr));
            assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "`{command}` printed nothing");
        }
    }
    assert!(commands > 20, "found only {commands} commands in the README");
}

/// The table of directories in docs/architecture.md is complete.
fn the_architecture_lists_every_directory() {
    let page = include_str!("../docs/architecture.md");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let name = format!("`src/{}/`", entry.file_name().to_str().unwrap());
            assert!(page.contains(&name), "docs/architecture.md does not list {name}");
        }
    }
}

/// The table of causes in docs/troubleshooting.md has all verdict classes.
fn troubleshooting_lists_every_class() {
    let page = include_str!("../docs/troubleshooting.md");
    let source = include_str!("../src/boot/verdict/class.rs");
    let display = source.split("impl fmt::Display for Class").nth(1).unwrap();
    let names = display.split("f.pad(match self {").nth(1).unwrap().split("})").next().unwrap();
    let mut classes = 0;
    for name in names.split('"').skip(1).step_by(2) {
        classes += 1;
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/troubleshooting.md does not list the class `{name}`"
        );
    }
    assert!(classes > 10);
}

/// docs/template.md is what the program prints.
fn the_template_reference_is_up_to_date() {
    let printed = crate::common::ister(&["schema", "template", "--format", "markdown"]).output().unwrap();
    assert_eq!(include_str!("../docs/template.md"), text(&printed.stdout));
}

/// Relative links in Markdown files name files that exist, and headings that those files have.
fn links_between_documents_resolve() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = |directory: &str| {
        let entries = std::fs::read_dir(root.join(directory)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect::<Vec<_>>()
    };
    let mut links = 0;
    for page in [documents(""), documents("docs")].concat() {
        let source = std::fs::read_to_string(&page).unwrap();
        for link in source.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            links += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: `{link}` does not exist", page.display());
            if !heading.is_empty() {
                let target = std::fs::read_to_string(&target).unwrap();
                let anchors: Vec<String> =
                    target.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
                assert!(
                    anchors.iter().any(|anchor| anchor == heading),
                    "{}: `{link}`: no such heading among {anchors:?}",
                    page.display()
                );
            }
        }
    }
    assert!(links > 50, "found only {links} links");
}

/// The anchor of a heading. Source: GitHub's rules: lower case, without punctuation, blanks as hyphens.
fn anchor(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

crate::tests! {
    every_command_of_the_readme_works,
    the_architecture_lists_every_directory,
    troubleshooting_lists_every_class,
    the_template_reference_is_up_to_date,
    links_between_documents_resolve,
}
