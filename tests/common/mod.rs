//! Runs the program with a scrubbed environment.

use crate::harness::skip;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub(crate) mod system;
pub(crate) mod tls;
pub(crate) mod tools;

/// Returns a command that runs ister with these arguments in the project directory.
pub fn ister(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ister"));
    command
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("SOURCE_DATE_EPOCH")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn with_stdin(args: &[&str], input: &str) -> Output {
    let mut child =
        ister(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that rejects its arguments does not read its input.
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => panic!("{error}"),
        _ => {}
    }
    child.wait_with_output().unwrap()
}

/// Returns the findings of `ister verify` for an image and the plan next to it, each as `error[rule] message`.
pub fn verify(image: &Path, passphrases: &[&str]) -> Vec<String> {
    use ister::image::format::open;
    use ister::verify::{Examination, examine, judge};
    let scratch = std::env::temp_dir();
    let opened = open(image, &scratch).unwrap_or_else(|failure| panic!("{failure}"));
    let plan_text = std::fs::read_to_string(format!("{}.plan.json", image.display())).ok();
    let examination = Examination {
        name: "test.img",
        image: &opened,
        plan: plan_text.map(|text| serde_json::from_str(&text).unwrap()),
        passphrases: passphrases.iter().map(|text| (*text).into()).collect(),
        host_marks: vec!["/home/builder/project".to_owned()],
        scratch: &scratch,
    };
    let facts =
        examine(&examination, &|_: ister::host::Event| {}).unwrap_or_else(|failure| panic!("{failure}"));
    judge(&facts)
        .into_iter()
        .map(|finding| format!("{}[{}] {}", finding.level.name(), finding.rule, finding.message))
        .collect()
}

/// Skips the test if any of these programs or files is missing.
pub(crate) fn need_tools(names: &[&str]) {
    let directories = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"];
    let is_there = |name: &&&str| {
        Path::new(name).is_absolute() && Path::new(name).exists()
            || directories.iter().any(|directory| Path::new(directory).join(name).exists())
    };
    let missing: Vec<&&str> = names.iter().filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        skip(&format!("not installed: {missing:?} (run `ister doctor --install --tests`)"));
    }
}
