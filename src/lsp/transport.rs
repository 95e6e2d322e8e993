//! Messages over standard input and output. Invalid messages are answered with an error. The server exits with its
//! client. Sources: Language Server Protocol 3.17, "Base Protocol"; JSON-RPC 2.0, "Error object".

use super::spelling::{Spellings, fixed};
use crossbeam_channel::{Receiver, Sender, unbounded};
use lsp_server::{Connection, ErrorCode, Message, Notification};
use lsp_types::notification::Exit;
use lsp_types::notification::Notification as _;
use lsp_types::request::{Initialize, Request as _};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The maximum size of a message body, larger than any template.
const MAX_BODY: u64 = 256 << 20;
/// The interval for checking whether the client is alive.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Sends messages to the client, from any thread.
#[derive(Clone)]
struct Output(Arc<Mutex<Spellings>>);

impl Output {
    fn send(&self, mut message: Value) -> io::Result<()> {
        // The lock is held while writing, so that messages are not interleaved.
        let spellings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spellings.give_back(&mut message);
        let text = message.to_string();
        let mut out = io::stdout().lock();
        write!(out, "Content-Length: {}\r\n\r\n{text}", text.len())?;
        out.flush()
    }

    fn send_error(&self, id: Value, code: ErrorCode, message: String) -> io::Result<()> {
        let error = json!({ "code": code as i32, "message": message });
        self.send(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
    }
}

/// The connection, and the writer thread, which ends when the connection is dropped.
pub(crate) fn stdio() -> (Connection, JoinHandle<io::Result<()>>) {
    let (to_client, answers) = unbounded();
    let (to_server, messages) = unbounded();
    let output = Output(Arc::default());
    let writer = std::thread::spawn({
        let output = output.clone();
        move || write(&answers, &output)
    });
    // The reader thread is not joined, because it blocks until standard input is closed.
    std::thread::spawn(move || {
        let _ = read(&mut BufReader::new(io::stdin()), &to_server, &output);
        send_exit(&to_server);
    });
    (Connection { sender: to_client, receiver: messages }, writer)
}

fn write(answers: &Receiver<Message>, output: &Output) -> io::Result<()> {
    for answer in answers {
        let mut value = serde_json::to_value(&answer)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("jsonrpc".to_owned(), "2.0".into());
        }
        output.send(value)?;
    }
    Ok(())
}

/// Reads messages until the end of the input or an invalid frame.
fn read(input: &mut impl BufRead, to_server: &Sender<Message>, output: &Output) -> io::Result<()> {
    while let Some(body) = frame(input)? {
        let text = String::from_utf8_lossy(&body);
        let mut value: Value = match serde_json::from_str(&fixed(&text)) {
            Ok(value) => value,
            Err(error) => {
                output.send_error(Value::Null, ErrorCode::ParseError, format!("not valid JSON: {error}"))?;
                continue;
            }
        };
        output.0.lock().unwrap_or_else(PoisonError::into_inner).take_in(&mut value);
        if value["method"] == Initialize::METHOD
            && let Some(client) = value["params"]["processId"].as_u64().filter(|client| is_alive(*client))
        {
            let to_server = to_server.clone();
            std::thread::spawn(move || watch(client, &to_server));
        }
        let id = value["id"].clone();
        match serde_json::from_value(value) {
            Ok(message) => {
                if to_server.send(message).is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                output.send_error(id, ErrorCode::InvalidRequest, format!("not a valid message: {error}"))?;
            }
        }
    }
    Ok(())
}

/// Reads the next message body. Unknown header fields are ignored.
fn frame(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut length = None;
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if let Some((name, value)) = line.split_once(':')
            && name.trim().eq_ignore_ascii_case("Content-Length")
        {
            length = value.trim().parse::<u64>().ok().filter(|length| *length <= MAX_BODY);
        }
        if let Some(length) = length.filter(|_| line.is_empty()) {
            let mut body = vec![0; length as usize];
            input.read_exact(&mut body)?;
            return Ok(Some(body));
        }
    }
}

/// Sends `exit` when the client process ends, because another process may keep the connection open.
fn watch(client: u64, to_server: &Sender<Message>) {
    while is_alive(client) {
        std::thread::sleep(POLL_INTERVAL);
    }
    send_exit(to_server);
}

fn send_exit(to_server: &Sender<Message>) {
    let _ = to_server.send(Message::Notification(Notification::new(Exit::METHOD.to_owned(), Value::Null)));
}

/// Whether the process exists and is not a zombie. Source: proc_pid_stat(5), the field after the name.
fn is_alive(process: u64) -> bool {
    let mut stat = String::new();
    let file = std::fs::File::open(format!("/proc/{process}/stat"));
    if file.and_then(|mut file| file.read_to_string(&mut stat)).is_err() {
        return false;
    }
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_clients_are_parsed() {
        let read = |text: &str| {
            let mut input = text.as_bytes();
            let mut bodies = Vec::new();
            while let Ok(Some(body)) = frame(&mut input) {
                bodies.push(String::from_utf8(body).unwrap());
            }
            bodies
        };
        assert_eq!(read("Content-Length: 2\r\n\r\n{}Content-Length: 1\r\n\r\n1"), ["{}", "1"]);
        let with_type = "Content-Type: application/vscode-jsonrpc; charset=utf-8\r\ncontent-length:2\n\n{}";
        assert_eq!(read(with_type), ["{}"]);
        assert_eq!(read("nonsense\r\n\r\nContent-Length: 2\r\n\r\n{}"), ["{}"]);
        assert_eq!(read("Content-Length: 5\r\n\r\n{}"), [""; 0]);
        assert_eq!(read("Content-Length: 99999999999999\r\n\r\n"), [""; 0]);
    }

    #[test]
    fn this_process_is_alive() {
        assert!(is_alive(u64::from(std::process::id())));
        assert!(!is_alive(u64::from(u32::MAX)));
    }
}
