//! `ister lsp` with clients that do not conform to the protocol.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

struct Client {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Client {
    fn start(process: &Value) -> Client {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ister"));
        command.arg("lsp");
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = server.stdin.take().unwrap();
        let output = BufReader::new(server.stdout.take().unwrap());
        let mut client = Client { server, input, output };
        client.request(1, "initialize", json!({ "processId": process, "capabilities": {} }));
        assert_eq!(client.receive()["result"]["serverInfo"]["name"], "ister");
        client.send(&json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} }));
        client
    }

    fn raw(&mut self, body: &[u8]) {
        write!(self.input, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
        self.input.write_all(body).unwrap();
        self.input.flush().unwrap();
    }

    fn send(&mut self, message: &Value) {
        self.raw(message.to_string().as_bytes());
    }

    fn request(&mut self, id: u32, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    }

    fn open(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "json", "version": 1, "text": text });
        let params = json!({ "textDocument": document });
        self.send(&json!({ "jsonrpc": "2.0", "method": "textDocument/didOpen", "params": params }));
    }

    fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the server closed the connection");
            match line.trim().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                _ if line.trim().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn shut_down(mut self) {
        self.request(99, "shutdown", Value::Null);
        assert_eq!(self.receive()["id"], 99);
        self.send(&json!({ "jsonrpc": "2.0", "method": "exit" }));
        assert!(self.server.wait().unwrap().success());
    }
}

const TEMPLATE: &str = "{\"DestinationType\": \"vrtual\"}";

/// Diagnostics and responses use the URI in the spelling of the editor.
fn invalid_uris_are_sent_back_unchanged() {
    let mut client = Client::start(&Value::Null);
    for uri in [
        "file:///w/[a]/t.json",
        "file:///w/a|b.json",
        "file:///w/a b.json",
        "file:///w/ä.json",
        "file:///w/100%.json",
        "file:///w/%5Bb%5D/t.json",
        "file:///C:/w/{x}^`\".json",
    ] {
        client.open(uri, TEMPLATE);
        let message = client.receive();
        assert_eq!(message["method"], "textDocument/publishDiagnostics", "{message}");
        assert_eq!(message["params"]["uri"], uri);
        assert!(!message["params"]["diagnostics"].as_array().unwrap().is_empty());
        let document = json!({ "uri": uri });
        client.request(
            2,
            "textDocument/hover",
            json!({ "textDocument": document, "position": { "line": 0, "character": 4 } }),
        );
        let hover = client.receive();
        assert!(hover["result"]["contents"].is_object(), "{hover}");
        let range = json!({ "start": { "line": 0, "character": 20 }, "end": { "line": 0, "character": 26 } });
        let diagnostics = message["params"]["diagnostics"].clone();
        client.request(
            3,
            "textDocument/codeAction",
            json!({ "textDocument": document, "range": range, "context": { "diagnostics": diagnostics } }),
        );
        let actions = client.receive();
        let changes =
            actions["result"][0]["edit"]["changes"].as_object().unwrap_or_else(|| panic!("{actions}"));
        assert_eq!(changes.keys().collect::<Vec<_>>(), [uri]);
    }
    client.shut_down();
}

fn invalid_messages_are_answered_with_an_error() {
    let mut client = Client::start(&Value::Null);
    client.open("file:///w/t.json", TEMPLATE);
    client.receive();
    for (body, code) in [
        (&b"{\"jsonrpc\": "[..], -32700),
        (b"", -32700),
        (b"\xff\xfe{", -32700),
        (b"{\"id\": 5}", -32600),
        (b"[1, 2]", -32600),
        (b"null", -32600),
    ] {
        client.raw(body);
        let answer = client.receive();
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    // A lone surrogate must not make the document invalid.
    let change = r#"{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///w/t.json","version":2},"contentChanges":[{"text":"{\"Hostname\": \"\ud83e\"}"}]}}"#;
    client.raw(change.as_bytes());
    let message = client.receive();
    assert_eq!(message["params"]["version"], 2, "{message}");
    client.shut_down();
}

/// The server exits when the client process ends, even if another process keeps the pipe open.
fn the_server_exits_with_its_client() {
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    let mut client = Client::start(&json!(other.id()));
    client.open("file:///w/t.json", TEMPLATE);
    client.receive();
    other.kill().unwrap();
    // The process is a zombie now, because it is not reaped.
    let started = Instant::now();
    let status = loop {
        if let Some(status) = client.server.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the server is still running");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(status.code(), Some(1), "exit without `shutdown`");
    other.wait().unwrap();
    // The server also exits when the client closes the pipe.
    let Client { mut server, input, .. } = Client::start(&json!(std::process::id()));
    drop(input);
    assert_eq!(server.wait().unwrap().code(), Some(1));
}

/// A quick fix allows a warning in the template; errors have none.
fn warnings_can_be_allowed() {
    let mut client = Client::start(&Value::Null);
    let uri = "file:///w/t.json";
    let name = "a".repeat(64);
    let text = format!(
        "{{\"DestinationType\": \"virtual\", \"PartitionLayout\": 7, \"FilesystemTypes\": [],\n\"Hostname\": \"{name}\"}}\n"
    );
    client.open(uri, &text);
    client.receive();
    let titles = |client: &mut Client, line: u32| -> Vec<(String, Value)> {
        let range =
            json!({ "start": { "line": line, "character": 0 }, "end": { "line": line, "character": 80 } });
        let context = json!({ "diagnostics": [] });
        let document = json!({ "uri": uri });
        client.request(
            4,
            "textDocument/codeAction",
            json!({ "textDocument": document, "range": range, "context": context }),
        );
        let answer = client.receive();
        let actions = answer["result"].as_array().unwrap().clone();
        actions.into_iter().map(|action| (action["title"].as_str().unwrap().to_owned(), action)).collect()
    };
    let warnings = titles(&mut client, 1);
    let (_, action) = warnings
        .iter()
        .find(|(title, _)| title == "allow `hostname-long` in this template, with a reason")
        .unwrap_or_else(|| panic!("{warnings:?}"));
    let edit = &action["edit"]["changes"][uri][0];
    assert!(edit["newText"].as_str().unwrap().contains(r#"{"allow":{"hostname-long":""}}"#), "{edit}");
    let errors = titles(&mut client, 0);
    assert!(!errors.iter().any(|(title, _)| title.starts_with("allow `wrong-type`")), "{errors:?}");
    client.shut_down();
}

crate::tests! {
    warnings_can_be_allowed,
    invalid_uris_are_sent_back_unchanged,
    invalid_messages_are_answered_with_an_error,
    the_server_exits_with_its_client,
}
