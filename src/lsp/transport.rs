//! Messages over standard input and output. A body that is no message is answered and forgotten; the server lives as long as its
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

/// Bytes of a body, more than any template has.
const MOST: u64 = 256 << 20;
/// How often the client is looked for.
const LOOK: Duration = Duration::from_secs(2);

/// What is said to the client, by whichever thread.
#[derive(Clone)]
struct Voice(Arc<Mutex<Spellings>>);

impl Voice {
    fn say(&self, mut message: Value) -> io::Result<()> {
        // Held while writing: one message is written after the other.
        let spellings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spellings.give_back(&mut message);
        let text = message.to_string();
        let mut out = io::stdout().lock();
        write!(out, "Content-Length: {}\r\n\r\n{text}", text.len())?;
        out.flush()
    }

    fn refuse(&self, id: Value, code: ErrorCode, message: String) -> io::Result<()> {
        let error = json!({ "code": code as i32, "message": message });
        self.say(json!({ "jsonrpc": "2.0", "id": id, "error": error }))
    }
}

/// The connection, and the thread that writes, which ends with it.
pub(crate) fn stdio() -> (Connection, JoinHandle<io::Result<()>>) {
    let (to_client, answers) = unbounded();
    let (heard, messages) = unbounded();
    let voice = Voice(Arc::default());
    let writer = std::thread::spawn({
        let voice = voice.clone();
        move || write(&answers, &voice)
    });
    // It waits for input for as long as somebody holds the other end, and is not waited for.
    std::thread::spawn(move || {
        let _ = read(&mut BufReader::new(io::stdin()), &heard, &voice);
        goodbye(&heard);
    });
    (Connection { sender: to_client, receiver: messages }, writer)
}

fn write(answers: &Receiver<Message>, voice: &Voice) -> io::Result<()> {
    for answer in answers {
        let mut value = serde_json::to_value(&answer)?;
        if let Value::Object(fields) = &mut value {
            fields.insert("jsonrpc".to_owned(), "2.0".into());
        }
        voice.say(value)?;
    }
    Ok(())
}

/// Until the input ends, or is no frame of the protocol any more.
fn read(input: &mut impl BufRead, heard: &Sender<Message>, voice: &Voice) -> io::Result<()> {
    while let Some(body) = frame(input)? {
        let text = String::from_utf8_lossy(&body);
        let mut value: Value = match serde_json::from_str(&fixed(&text)) {
            Ok(value) => value,
            Err(error) => {
                voice.refuse(Value::Null, ErrorCode::ParseError, format!("not valid JSON: {error}"))?;
                continue;
            }
        };
        voice.0.lock().unwrap_or_else(PoisonError::into_inner).take_in(&mut value);
        if value["method"] == Initialize::METHOD
            && let Some(client) = value["params"]["processId"].as_u64().filter(|client| is_alive(*client))
        {
            let heard = heard.clone();
            std::thread::spawn(move || watch(client, &heard));
        }
        let id = value["id"].clone();
        match serde_json::from_value(value) {
            Ok(message) => {
                if heard.send(message).is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                voice.refuse(id, ErrorCode::InvalidRequest, format!("not a valid message: {error}"))?;
            }
        }
    }
    Ok(())
}

/// The next body. Header fields that are not known are passed over.
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
            length = value.trim().parse::<u64>().ok().filter(|length| *length <= MOST);
        }
        if let Some(length) = length.filter(|_| line.is_empty()) {
            let mut body = vec![0; length as usize];
            input.read_exact(&mut body)?;
            return Ok(Some(body));
        }
    }
}

/// Says goodbye for a client that is gone while something else keeps its end open.
fn watch(client: u64, heard: &Sender<Message>) {
    while is_alive(client) {
        std::thread::sleep(LOOK);
    }
    goodbye(heard);
}

fn goodbye(heard: &Sender<Message>) {
    let _ = heard.send(Message::Notification(Notification::new(Exit::METHOD.to_owned(), Value::Null)));
}

/// Whether the process is there, and not only what nobody has waited for. Source: proc_pid_stat(5), the field behind the name.
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
    fn frames_are_read_as_clients_write_them() {
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
