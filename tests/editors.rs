//! The language server with real clients, and the hooks with the real pre-commit.

use crate::common::text;
use crate::common::tools;
use std::path::Path;
use std::process::{Command, Output};

const ISTER: &str = env!("CARGO_BIN_EXE_ister");
const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

#[track_caller]
fn success(output: &Output) -> String {
    let printed = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{printed}");
    printed
}

/// pygls, from PyPI: checks every response of the protocol.
fn python_client_checks_all_responses() {
    let python = tools::tool("python/bin/python");
    let output =
        Command::new(python).arg(format!("{PROJECT}/tests/editors/client.py")).arg(ISTER).output().unwrap();
    let printed = success(&output);
    assert!(printed.matches("ok: ").count() >= 40, "{printed}");
}

/// Debian's Neovim in headless mode, through the functions of the editor.
fn neovim_edits_a_template() {
    let nvim = tools::host_program("nvim");
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(nvim)
        .args(["--headless", "-u", "NONE", "-i", "NONE", "-c"])
        .arg(format!("luafile {PROJECT}/tests/editors/nvim.lua"))
        .env("ISTER", ISTER)
        .env("HOME", home.path())
        .env("XDG_STATE_HOME", home.path())
        .env("XDG_CACHE_HOME", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let printed = success(&output);
    assert!(printed.matches("ok: ").count() >= 13, "{printed}");
}

/// `.pre-commit-hooks.yaml`, as used by a repository of templates.
fn pre_commit_runs_the_hooks() {
    let pre_commit = tools::tool("python/bin/pre-commit");
    let directory = tempfile::tempdir().unwrap();
    let git = |repository: &str, args: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-C"])
            .arg(directory.path().join(repository))
            .args(args)
            .output()
            .unwrap();
        success(&output)
    };
    for repository in ["hooks", "templates"] {
        std::fs::create_dir(directory.path().join(repository)).unwrap();
        git(repository, &["init", "--quiet"]);
    }
    let write = |name: &str, content: &str| std::fs::write(directory.path().join(name), content).unwrap();
    write("hooks/.pre-commit-hooks.yaml", include_str!("../.pre-commit-hooks.yaml"));
    git("hooks", &["add", "."]);
    git("hooks", &["commit", "--quiet", "-m", "hooks"]);
    let revision = git("hooks", &["rev-parse", "HEAD"]);
    let hooks = directory.path().join("hooks");
    write(
        "templates/.pre-commit-config.yaml",
        &format!(
            "repos:\n  - repo: {}\n    rev: {revision}    hooks:\n      - id: ister-lint-system\n      - id: ister-fmt-system\n",
            hooks.display()
        ),
    );
    let template = include_str!("../vm-tests/kvm/template.json");
    write("templates/good.json", template);
    write("templates/package.json", "{\"name\": \"left-pad\"}\n");
    git("templates", &["add", "."]);
    let path = format!("{}:{}", Path::new(ISTER).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let run = || {
        Command::new(&pre_commit)
            .args(["run", "--all-files", "--color", "never"])
            .current_dir(directory.path().join("templates"))
            .env("PATH", &path)
            .env("PRE_COMMIT_HOME", directory.path().join("cache"))
            .output()
            .unwrap()
    };
    let printed = success(&run());
    assert_eq!(printed.matches("Passed").count(), 2, "{printed}");

    write("templates/bad.json", &template.replace("\"8G\"", "\"8\"").replace("    ", "  "));
    git("templates", &["add", "."]);
    let output = run();
    let printed = text(&output.stdout);
    assert!(!output.status.success(), "{printed}");
    assert!(printed.contains("error[partition-size]") && printed.contains("bad.json"), "{printed}");
    assert!(printed.contains("files were modified by this hook"), "fmt reformatted the file: {printed}");
    assert!(!printed.contains("package.json"), "{printed}");
}

/// Validates the action with GitHub's schema.
fn github_action_matches_the_schema() {
    let check = tools::tool("python/bin/check-jsonschema");
    let output = Command::new(check)
        .args(["--builtin-schema", "vendor.github-actions"])
        .arg(format!("{PROJECT}/action.yml"))
        .output()
        .unwrap();
    success(&output);
}

/// Runs the script of the action with the environment that GitHub provides.
fn github_action_reports_findings_and_fails() {
    let action = include_str!("../action.yml");
    let script = action.split("# lint\n").nth(1).expect("the step contains the marker `# lint`");
    let script: Vec<&str> = script.lines().map(str::trim_start).collect();
    let directory = tempfile::tempdir().unwrap();
    let template = include_str!("../vm-tests/kvm/template.json");
    std::fs::write(directory.path().join("a.json"), template.replace("\"8G\"", "\"8\"")).unwrap();
    let bin = directory.path().join("ister/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(ISTER, bin.join("ister")).unwrap();
    let run = |paths: &str| {
        Command::new("bash")
            .args(["-e", "-c", &script.join("\n")])
            .current_dir(directory.path())
            .env("RUNNER_TEMP", directory.path())
            .env("ISTER_PATHS", paths)
            .env("ISTER_ARGUMENTS", "--deny warnings")
            .output()
            .unwrap()
    };
    let output = run(".");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("::error file=a.json,line=10,endLine=10,col="),
        "{}",
        text(&output.stdout)
    );
    // The input is split into words, but never executed.
    assert_eq!(run("a.json;touch${IFS}evil").status.code(), Some(2));
    assert!(!directory.path().join("evil").exists());
}

crate::tests! {
    python_client_checks_all_responses,
    neovim_edits_a_template,
    pre_commit_runs_the_hooks,
    github_action_matches_the_schema,
    github_action_reports_findings_and_fails,
}
