//! Logs in on the serial console and runs commands there.

use super::patterns::{insertion, is_login_prompt, is_password_prompt};
use super::text::Lines;
use crate::template::Secret;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The user who logs in. The password is never shown.
pub struct Login {
    pub user: String,
    /// Nothing for a user without a password.
    pub password: Option<Secret>,
}

/// The result of a command in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    pub command: String,
    pub status: i32,
    /// Its output, including standard error.
    pub lines: Vec<String>,
}

/// Why the login failed or a command did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionError {
    pub what: String,
    /// The last lines on the console.
    pub lines: Vec<String>,
}

impl SessionError {
    pub(super) fn into_lines(self) -> Vec<String> {
        std::iter::once(self.what).chain(self.lines).collect()
    }
}

/// PAM and the first shell take long under TCG, and many times longer on a busy host.
const PATIENCE: Duration = Duration::from_secs(180);
/// Timeout of a command. An update, with an initramfs for each kernel, can take more than ten minutes under TCG.
pub(super) const COMMAND: Duration = Duration::from_secs(1800);
/// Interval at which a command is typed to a shell whose prompt is not recognized. It is repeated because `login`
/// discards input that was typed before it starts the shell.
const QUIET: Duration = Duration::from_secs(20);
/// `login` exits after a minute, even on a slow host, and the getty prompts again.
const MOST_LOGINS: usize = 3;

/// Lines of an answer that are preserved at least.
const MOST_LINES: usize = 2000;

/// What appears after a password.
enum Turn {
    Shell,
    Getty,
}

/// A console at its login prompt. `next` returns bytes from the guest, or nothing if none arrive within the time.
pub(super) struct Session<'a> {
    console: &'a UnixStream,
    next: &'a mut dyn FnMut(Duration) -> Option<Vec<u8>>,
    lines: Lines,
    seen: Vec<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        console: &'a UnixStream,
        next: &'a mut dyn FnMut(Duration) -> Option<Vec<u8>>,
    ) -> Session<'a> {
        Session { console, next, lines: Lines::default(), seen: Vec::new() }
    }

    pub(super) fn log_in(&mut self, login: &Login) -> Result<(), SessionError> {
        for _ in 0..MOST_LOGINS {
            if let Turn::Shell = self.try_to_log_in(login)? {
                return Ok(());
            }
        }
        Err(self.fault(&format!("the login prompt appeared again {MOST_LOGINS} times")))
    }

    fn try_to_log_in(&mut self, login: &Login) -> Result<Turn, SessionError> {
        // Kernel output may follow a prompt.
        let before =
            |line: &String| insertion(line).map_or(format!("{line} "), |place| line[..place].to_owned());
        let getty = |lines: &[String], open: &str| {
            is_login_prompt(open) || lines.iter().any(|line| is_login_prompt(&before(line)))
        };
        // The prompt that is answered now must not count as a new one.
        (self.seen, self.lines) = (Vec::new(), Lines::default());
        self.send(&login.user);
        if let Some(password) = &login.password {
            let asks = |lines: &[String], open: &str| {
                is_password_prompt(open) || lines.iter().any(|line| is_password_prompt(&before(line)))
            };
            let turn = |lines: &[String], open: &str| asks(lines, open) || getty(lines, open);
            self.wait("the password prompt", &turn)?;
            if !asks(&self.seen, &self.lines.unfinished()) {
                return Ok(Turn::Getty);
            }
            self.seen.clear();
            self.send(password.expose());
        }
        let refused = |lines: &[String]| lines.iter().any(|line| line.contains("Login incorrect"));
        // A shell prompt may have any text; what counts is that commands run.
        let ready = |lines: &[String]| lines.iter().any(|line| line.ends_with("ister-ready"));
        let answered = |lines: &[String], open: &str| ready(lines) || refused(lines) || getty(lines, open);
        let prompt = |lines: &[String], open: &str| {
            open.ends_with("$ ") || open.ends_with("# ") || answered(lines, open)
        };
        let until = Instant::now() + PATIENCE;
        self.comes_within(QUIET, &prompt)?;
        while !answered(&self.seen, &self.lines.unfinished()) {
            if Instant::now() >= until {
                return Err(self.late("the shell after the login", PATIENCE));
            }
            // A pager would wait for input.
            self.send("stty -echo 2>/dev/null; PS1=; export PAGER=cat SYSTEMD_PAGER=cat; printf 'ister-%s\\n' ready");
            self.comes_within(QUIET, &answered)?;
        }
        if refused(&self.seen) {
            return Err(self.fault("the login was rejected"));
        }
        Ok(if ready(&self.seen) { Turn::Shell } else { Turn::Getty })
    }

    pub(super) fn run(&mut self, command: &str) -> Result<Answer, SessionError> {
        self.seen.clear();
        // The guest assembles the markers, so that the echo of the command does not contain them.
        self.send(&format!(
            "printf 'ister-%s\\n' begin; {{ {command}\n}} 2>&1; printf '\\nister-%s:%s\\n' end $?"
        ));
        let ended = |lines: &[String], _: &str| lines.iter().any(|line| line.starts_with("ister-end:"));
        if !self.comes_within(COMMAND, &ended)? {
            return Err(self.late(&format!("the end of `{command}`"), COMMAND));
        }
        let begin = self.seen.iter().position(|line| line.ends_with("ister-begin")).map_or(0, |at| at + 1);
        let end = self.seen.iter().position(|line| line.starts_with("ister-end:")).unwrap_or(self.seen.len());
        let status = self.seen.get(end).and_then(|line| line.split_once(':')?.1.trim().parse().ok());
        Ok(Answer {
            command: command.to_owned(),
            status: status.unwrap_or(-1),
            lines: self.seen.get(begin..end).unwrap_or_default().to_vec(),
        })
    }

    fn send(&mut self, text: &str) {
        let mut console = self.console;
        // If the write fails, the missing answer is detected later.
        let _ = console.write_all(format!("{text}\n").as_bytes());
    }

    fn wait(&mut self, what: &str, done: &dyn Fn(&[String], &str) -> bool) -> Result<(), SessionError> {
        if self.comes_within(PATIENCE, done)? { Ok(()) } else { Err(self.late(what, PATIENCE)) }
    }

    /// Whether the condition is met in time. Returns an error if the console is closed.
    fn comes_within(
        &mut self,
        patience: Duration,
        done: &dyn Fn(&[String], &str) -> bool,
    ) -> Result<bool, SessionError> {
        let until = Instant::now() + patience;
        while !done(&self.seen, &self.lines.unfinished()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let seen = &mut self.seen;
            match (self.next)(left) {
                Some(bytes) => {
                    self.lines.feed(&bytes, &mut |line| seen.push(line.to_owned()));
                    if seen.len() > 2 * MOST_LINES {
                        seen.drain(..seen.len() - MOST_LINES);
                    }
                }
                None if Instant::now() >= until => return Ok(false),
                None => return Err(self.fault("the console was closed")),
            }
        }
        Ok(true)
    }

    fn late(&self, what: &str, patience: Duration) -> SessionError {
        self.fault(&format!("{what} did not appear within {} s", patience.as_secs()))
    }

    fn fault(&self, what: &str) -> SessionError {
        let mut lines = self.seen[self.seen.len().saturating_sub(12)..].to_vec();
        lines.push(self.lines.unfinished());
        SessionError { what: what.to_owned(), lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    /// A guest that echoes input and gives the answers of the test.
    fn guest(mut end: UnixStream, answers: Vec<(&'static str, &'static str)>) {
        std::thread::spawn(move || {
            let mut reader = BufReader::new(end.try_clone().unwrap());
            let mut echoes = true;
            for (typed, answer) in answers {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                assert!(line.contains(typed), "{line}");
                let echo = if echoes { format!("{}\r\n", line.trim_end()) } else { String::new() };
                echoes &= !line.contains("stty -echo");
                end.write_all(format!("{echo}{answer}").as_bytes()).unwrap();
            }
        });
    }

    /// Logs in and queries the mounts.
    fn talk(answers: Vec<(&'static str, &'static str)>) -> Result<Answer, SessionError> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        guest(theirs, answers);
        let mut reader = ours.try_clone().unwrap();
        let mut next = |patience: Duration| {
            reader.set_read_timeout(Some(patience)).unwrap();
            let mut buffer = [0; 64];
            let count = reader.read(&mut buffer).ok()?;
            (count > 0).then(|| buffer[..count].to_vec())
        };
        let mut session = Session::new(&ours, &mut next);
        session.log_in(&Login { user: "ada".into(), password: Some(Secret::new("secret".into())) })?;
        session.run("findmnt")
    }

    const SHELL: [(&str, &str); 4] = [
        ("secret", "\r\nLinux kvm 6.1\r\nLast login: Mon Nov 23\r\nada@kvm:~$ "),
        ("ready", "ister-ready\r\n"),
        ("findmnt", "ister-begin\r\n/ ext4\r\n/boot vfat"),
        ("ister-%s:%s", "\r\n\r\nister-end:0\r\n"),
    ];

    #[test]
    fn echo_is_not_part_of_the_answer() {
        let mut answers = vec![("ada", "Password: ")];
        answers.extend(SHELL);
        let answer = talk(answers).unwrap();
        assert_eq!((answer.status, answer.lines), (0, vec!["/ ext4".to_owned(), "/boot vfat".to_owned()]));
    }

    #[test]
    fn user_is_typed_again_at_a_new_prompt() {
        let mut answers = vec![
            ("ada", "Password: [   31.2] random: crng init done\r\n"),
            ("secret", "\r\nLogin timed out after 60 seconds.\r\n\r\nDebian GNU/Linux 12\r\n\r\nkvm login: "),
            ("ada", "Password: "),
        ];
        answers.extend(SHELL);
        assert_eq!(talk(answers).unwrap().status, 0);
        let again = ("ada", "\r\nkvm login: ");
        let fault = talk(vec![again; 3]).unwrap_err();
        assert_eq!(fault.what, "the login prompt appeared again 3 times");
    }

    #[test]
    fn wrong_password_and_closed_console_are_reported_immediately() {
        let fault =
            talk(vec![("ada", "Password: "), ("secret", "\r\nLogin incorrect\r\nkvm login: ")]).unwrap_err();
        assert_eq!(fault.what, "the login was rejected");
        assert_eq!(talk(vec![("ada", "Password: ")]).unwrap_err().what, "the console was closed");
    }
}
