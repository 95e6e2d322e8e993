//! Running the program with a scrubbed environment.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// ister with these arguments, from the project's folder.
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

#[allow(dead_code, reason = "not every test program feeds standard input")]
pub fn with_stdin(args: &[&str], input: &str) -> Output {
    let mut child =
        ister(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its arguments does not read its input.
    match child.stdin.take().unwrap().write_all(input.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => panic!("{error}"),
        _ => {}
    }
    child.wait_with_output().unwrap()
}
