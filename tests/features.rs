//! Tests the standalone linter: its dependencies, and its behaviour.

use crate::common::text;
use std::path::Path;
use std::process::Command;

/// Crates for downloads, compression, encryption and storage, which the linter must not depend on.
const FOREIGN: &[&str] = &[
    "aes", "argon2", "backhand", "bzip2", "erofs-rs", "flate2", "liblzma", "ring", "rusqlite", "rustls",
    "tar", "ureq", "zstd",
];

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn crates(features: &[&str]) -> Vec<String> {
    let tree = ["tree", "--locked", "--offline", "-e", "normal", "--prefix", "none", "-f", "{p}"];
    let output = cargo(&tree).args(features).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

fn linter_does_not_depend_on_build_crates() {
    let all = crates(&[]);
    let linter = crates(&["--no-default-features", "--features", "lint"]);
    for name in FOREIGN {
        assert!(all.iter().any(|known| known == name), "{name} is no longer a dependency");
        assert!(!linter.iter().any(|known| known == name), "the linter depends on {name}");
    }
    let core = crates(&["--no-default-features"]);
    assert!(!core.iter().any(|name| name == "clap" || name == "tempfile"), "{core:?}");
}

/// Builds the linter in the same way as `cargo install`.
fn standalone_linter_behaves_like_full_program() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = here.join("target/linter");
    let built =
        cargo(&["build", "--locked", "--no-default-features", "--features", "lint", "--bin", "ister"])
            .arg("--target-dir")
            .arg(&directory)
            .status()
            .unwrap();
    assert!(built.success());
    let ister = |args: &[&str]| {
        Command::new(directory.join("debug/ister")).args(args).current_dir(here).output().unwrap()
    };
    let full = |args: &[&str]| crate::common::ister(args).output().unwrap();
    for args in [
        &["lint", "vm-tests"][..],
        &["plan", "vm-tests/kvm/template.json", "--format", "json", "--cache-dir", "/nonexistent"],
        &["fmt", "--check", "vm-tests"],
        &["explain", "esp-small"],
        &["schema"],
        &["new", "kvm"],
    ] {
        let (alone, all) = (ister(args), full(args));
        assert_eq!(text(&alone.stderr), text(&all.stderr), "{args:?}");
        assert_eq!((alone.status.code(), alone.stdout), (all.status.code(), all.stdout), "{args:?}");
    }
    let build = ister(&["build", "vm-tests/kvm/template.json"]);
    assert_eq!(build.status.code(), Some(2));
    assert!(text(&build.stderr).contains("this is the linter alone"), "{}", text(&build.stderr));
    // The library without any features, as for WebAssembly.
    let core = cargo(&["check", "--locked", "--no-default-features", "--lib", "--target-dir"])
        .arg(&directory)
        .status();
    assert!(core.unwrap().success());
}

crate::tests! {
    linter_does_not_depend_on_build_crates,
    ; nightly:
    standalone_linter_behaves_like_full_program,
}
