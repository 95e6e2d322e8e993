//! Logging in on the serial console and running commands there.

use super::text::Lines;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Who logs in. The password is shown nowhere.
pub struct Login {
    pub user: String,
    /// Nothing where the user has none.
    pub password: Option<String>,
}

/// What a command in the guest said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub command: String,
    pub status: i32,
    /// Its output, standard error included.
    pub lines: Vec<String>,
}

/// Why nobody could log in or a command did not end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFault {
    pub what: String,
    /// What the console showed last.
    pub lines: Vec<String>,
}

impl SessionFault {
    pub fn into_lines(self) -> Vec<String> {
        std::iter::once(self.what).chain(self.lines).collect()
    }
}

/// A guest under TCG takes its time for PAM and the first shell.
const PATIENCE: Duration = Duration::from_secs(90);
/// A shell without a prompt that is known gets something to do after this. Earlier it would be lost: `login` throws away
/// what was typed before it hands over.
const QUIET: Duration = Duration::from_secs(30);

/// A console at its login prompt. `next` gives bytes that the guest sends, nothing when it has none within the time.
pub struct Session<'a> {
    console: &'a UnixStream,
    next: &'a mut dyn FnMut(Duration) -> Option<Vec<u8>>,
    lines: Lines,
    seen: Vec<String>,
}

impl<'a> Session<'a> {
    pub fn new(console: &'a UnixStream, next: &'a mut dyn FnMut(Duration) -> Option<Vec<u8>>) -> Session<'a> {
        Session { console, next, lines: Lines::default(), seen: Vec::new() }
    }

    pub fn log_in(&mut self, login: &Login) -> Result<(), SessionFault> {
        self.send(&login.user);
        if let Some(password) = &login.password {
            self.wait("the question for the password", &|_, open| open.ends_with("assword: "))?;
            self.send(password);
        }
        // A shell's prompt may be anything; that it runs commands is what counts.
        let ready = |lines: &[String], _: &str| {
            lines.iter().any(|line| line.ends_with("ister-ready") || line.contains("Login incorrect"))
        };
        let prompt =
            |lines: &[String], open: &str| open.ends_with("$ ") || open.ends_with("# ") || ready(lines, open);
        let _ = self.wait_for("a shell's prompt", QUIET, &prompt);
        self.send("stty -echo 2>/dev/null; PS1=; printf 'ister-%s\\n' ready");
        self.wait("a shell after the login", &ready)?;
        if self.seen.iter().any(|line| line.contains("Login incorrect")) {
            return Err(self.fault("the password was refused"));
        }
        Ok(())
    }

    pub fn run(&mut self, command: &str) -> Result<Answer, SessionFault> {
        self.seen.clear();
        // The markers are made by the guest, so that an echo of the command is not taken for them.
        self.send(&format!(
            "printf 'ister-%s\\n' begin; {{ {command}\n}} 2>&1; printf '\\nister-%s:%s\\n' end $?"
        ));
        self.wait(&format!("the end of `{command}`"), &|lines, _| {
            lines.iter().any(|line| line.starts_with("ister-end:"))
        })?;
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
        // What could not be sent is not answered either.
        let _ = console.write_all(format!("{text}\n").as_bytes());
    }

    fn wait(&mut self, what: &str, done: &dyn Fn(&[String], &str) -> bool) -> Result<(), SessionFault> {
        self.wait_for(what, PATIENCE, done)
    }

    fn wait_for(
        &mut self,
        what: &str,
        patience: Duration,
        done: &dyn Fn(&[String], &str) -> bool,
    ) -> Result<(), SessionFault> {
        let until = Instant::now() + patience;
        loop {
            if done(&self.seen, &self.lines.unfinished()) {
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            let Some(bytes) = (!left.is_zero()).then(|| (self.next)(left)).flatten() else {
                return Err(self.fault(&format!("{what} did not come within {} s", patience.as_secs())));
            };
            let seen = &mut self.seen;
            self.lines.feed(&bytes, &mut |line| seen.push(line.to_owned()));
        }
    }

    fn fault(&self, what: &str) -> SessionFault {
        let mut lines = self.seen[self.seen.len().saturating_sub(12)..].to_vec();
        lines.push(self.lines.unfinished());
        SessionFault { what: what.to_owned(), lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    /// A guest that echoes what is typed and answers with what the test says.
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

    #[test]
    fn a_command_is_run_and_its_echo_is_no_answer() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        guest(
            theirs,
            vec![
                ("ada", "Password: "),
                ("secret", "\r\nLinux kvm 6.1\r\nada@kvm:~$ "),
                ("ready", "ister-ready\r\n"),
                ("findmnt", "ister-begin\r\n/ ext4\r\n/boot vfat"),
                ("ister-%s:%s", "\r\n\r\nister-end:0\r\n"),
            ],
        );
        let mut reader = ours.try_clone().unwrap();
        let mut next = |patience: Duration| {
            reader.set_read_timeout(Some(patience)).unwrap();
            let mut buffer = [0; 64];
            let count = reader.read(&mut buffer).ok()?;
            (count > 0).then(|| buffer[..count].to_vec())
        };
        let mut session = Session::new(&ours, &mut next);
        let login = Login { user: "ada".into(), password: Some("secret".into()) };
        session.log_in(&login).unwrap();
        let answer = session.run("findmnt").unwrap();
        assert_eq!((answer.status, answer.lines), (0, vec!["/ ext4".to_owned(), "/boot vfat".to_owned()]));
    }
}
