//! Runs all commands of the README, except those that other tests run.

use crate::common::text;
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
        "ister build vm-tests/drop-in/template.json -o out",
        "vm-tests: what_ister_py_did_is_seen_in_the_running_system",
    ),
    ("ister boot out/kvm.img --report out/report", "vm-tests: World::boot"),
    (
        "ister build vm-tests/kvm/template.json -o out --check-reproducible",
        "tests/build.rs: builds_are_reproducible",
    ),
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
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .env("XDG_CACHE_HOME", cache.path())
                .output()
                .unwrap();
            assert!(output.status.success(), "`{command}`: {}", text(&output.stderr));
            assert!(!output.stdout.is_empty(), "`{command}` printed nothing");
        }
    }
    assert!(commands > 16, "found only {commands} commands in the README");
}

fn the_readme_lists_every_directory() {
    let readme = include_str!("../README.md");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let name = format!("`src/{}/`", entry.file_name().to_str().unwrap());
            assert!(readme.contains(&name), "the README does not list {name}");
        }
    }
}

/// The README lists all verdict classes.
fn the_readme_lists_every_class() {
    let readme = include_str!("../README.md");
    let source = include_str!("../src/boot/verdict/class.rs");
    let display = source.split("impl fmt::Display for Class").nth(1).unwrap();
    let names = display.split("f.pad(match self {").nth(1).unwrap().split("})").next().unwrap();
    let mut classes = 0;
    for name in names.split('"').skip(1).step_by(2) {
        classes += 1;
        assert!(readme.contains(&format!("`{name}`")), "the README does not list the class `{name}`");
    }
    assert!(classes > 10);
}

crate::tests! {
    every_command_of_the_readme_works,
    the_readme_lists_every_directory,
    the_readme_lists_every_class,
}
