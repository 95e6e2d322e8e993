//! The QEMU Machine Protocol: JSON objects, one a line. Source: QEMU, docs/interop/qmp-spec.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Commands go out here, answers come back; events go to whoever was named at the beginning.
pub(super) struct Qmp {
    stream: UnixStream,
    answers: Receiver<Value>,
    /// Commands sent so far; the last one's id.
    sent: u64,
}

/// An event that QEMU tells by itself, such as `RESET` or `SHUTDOWN`.
#[derive(Clone, Debug)]
pub(super) struct QmpEvent {
    pub name: String,
    pub data: Value,
}

impl Qmp {
    /// Takes a socket that QEMU will speak on. Events are passed to `event` from another thread.
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

    /// Sends a command and gives the id that its answer will carry.
    fn send(&mut self, command: &str, arguments: Value) -> std::io::Result<u64> {
        self.sent += 1;
        let line = json!({ "execute": command, "arguments": arguments, "id": self.sent }).to_string() + "\n";
        self.stream.write_all(line.as_bytes())?;
        Ok(self.sent)
    }

    /// Runs a command and waits for its answer, at most `limit`.
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
                // One that came too late for an earlier command.
                Ok(answer) if answer["id"].as_u64() != Some(id) => continue,
                Ok(answer) => match answer.get("error") {
                    Some(error) => {
                        return Err(error["desc"].as_str().unwrap_or("no reason given").to_owned());
                    }
                    None => return Ok(answer["return"].clone()),
                },
                Err(RecvTimeoutError::Timeout) => return Err(format!("no answer in {limit:?}")),
                Err(RecvTimeoutError::Disconnected) => return Err("QEMU has ended".to_owned()),
            }
        }
    }
}
