//! The log of the serial console, without secrets that were typed.

use std::fs::File;
use std::io::Write;

/// A line is written only when it is complete, because a secret may arrive in several pieces.
pub(super) struct SerialLog {
    file: File,
    secrets: Vec<Vec<u8>>,
    line: Vec<u8>,
}

/// Length above which an incomplete line is written.
const LONGEST: usize = 64 << 10;
/// Shorter texts occur everywhere, and masking them would reveal more than it hides.
pub(super) const SHORTEST_SECRET: usize = 4;

impl SerialLog {
    /// Secrets are masked because a guest may echo typed text before it turns the echo off.
    pub(super) fn new(file: File, secrets: &[&str]) -> SerialLog {
        let secrets = secrets.iter().map(|text| text.as_bytes().to_vec()).collect();
        SerialLog { file, secrets, line: Vec::new() }
    }

    /// The log for a second guest. The pending line is written first.
    pub(super) fn share(&mut self) -> std::io::Result<SerialLog> {
        self.flush();
        Ok(SerialLog { file: self.file.try_clone()?, secrets: self.secrets.clone(), line: Vec::new() })
    }

    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
        let end = match self.line.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None if self.secrets.is_empty() || self.line.len() > LONGEST => self.line.len(),
            None => return,
        };
        let rest = self.line.split_off(end);
        self.flush();
        self.line = rest;
    }

    fn flush(&mut self) {
        let clean =
            self.secrets.iter().fold(std::mem::take(&mut self.line), |line, secret| without(line, secret));
        // A log that cannot be written does not end the boot.
        let _ = self.file.write_all(&clean);
    }
}

impl Drop for SerialLog {
    fn drop(&mut self) {
        self.flush();
    }
}

fn without(line: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    let Some(at) = line.windows(secret.len()).position(|part| part == secret) else { return line };
    let rest = without(line[at + secret.len()..].to_vec(), secret);
    [&line[..at], "…".as_bytes(), &rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    #[test]
    fn secret_in_several_pieces_is_masked() {
        let mut file = tempfile::tempfile().unwrap();
        let mut log = SerialLog::new(file.try_clone().unwrap(), &["hunter22"]);
        let mut read = || {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        log.keep(b"kvm login: ada\r\nPassword: hun");
        assert_eq!(read(), "kvm login: ada\r\n");
        log.keep(b"ter22 hunter22\r\n$ ");
        let mut other = log.share().unwrap();
        other.keep(b"again");
        drop((log, other));
        assert_eq!(read(), "kvm login: ada\r\nPassword: … …\r\n$ again");
    }
}
