//! The QEMU Machine Protocol (QMP): JSON objects, one per line. Source: QEMU, docs/interop/qmp-spec.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// A QMP connection. Responses are returned to the caller; events go to the callback given to [`Qmp::new`].
pub(super) struct Qmp {
    stream: UnixStream,
    answers: Receiver<Value>,
    /// The number of commands sent, which is the ID of the last one.
    sent: u64,
}

/// An asynchronous event, such as `RESET` or `SHUTDOWN`.
#[derive(Clone, Debug)]
pub(super) struct QmpEvent {
    pub name: String,
    pub data: Value,
}

impl Qmp {
    /// Uses a socket that QEMU is connected to. `event` is called for each event from another thread.
    pub(super) fn new(
        stream: UnixStream,
        mut event: impl FnMut(QmpEvent) + Send + 'static,
    ) -> std::io::Result<Qmp> {
        let (sender, answers): (Sender<Value>, _) = channel();
        let reader = BufReader::new(stream.try_clone()?);
        std::thread::spawn(move || {
            for line in reader.lines() {
                let Ok(line) = line else { return };
                let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
                if let Some(name) = value["event"].as_str() {
                    event(QmpEvent { name: name.to_owned(), data: value["data"].clone() });
                } else if value.get("QMP").is_none() && sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut qmp = Qmp { stream, answers, sent: 0 };
        qmp.send("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Sends a command and returns the ID of its response.
    fn send(&mut self, command: &str, arguments: Value) -> std::io::Result<u64> {
        self.sent += 1;
        let line = json!({ "execute": command, "arguments": arguments, "id": self.sent }).to_string() + "\n";
        self.stream.write_all(line.as_bytes())?;
        Ok(self.sent)
    }

    /// Runs a command and waits for its response, at most for `limit`.
    pub(super) fn execute(
        &mut self,
        command: &str,
        arguments: Value,
        limit: Duration,
    ) -> Result<Value, String> {
        let id = self.send(command, arguments).map_err(|error| error.to_string())?;
        let until = Instant::now() + limit;
        loop {
            match self.answers.recv_timeout(until.saturating_duration_since(Instant::now())) {
                // A late response to an earlier command.
                Ok(answer) if answer["id"].as_u64() != Some(id) => continue,
                Ok(answer) => match answer.get("error") {
                    Some(error) => {
                        return Err(error["desc"].as_str().unwrap_or("unknown error").to_owned());
                    }
                    None => return Ok(answer["return"].clone()),
                },
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("QEMU did not respond within {limit:?}"));
                }
                Err(RecvTimeoutError::Disconnected) => return Err("QEMU has exited".to_owned()),
            }
        }
    }
}
