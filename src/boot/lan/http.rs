//! HTTP/1.1 messages of the metadata services. Source: RFC 9112.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Largest request, in bytes.
const LARGEST: usize = 1 << 20;

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::boot) struct Request {
    pub method: String,
    /// The path without the query.
    pub path: String,
    pub query: String,
    /// Names are in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug)]
pub(in crate::boot) struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

#[derive(Clone, Debug)]
pub(in crate::boot) enum Body {
    Bytes(Vec<u8>),
    /// A file and its size in bytes.
    File(Arc<File>, u64),
}

impl Body {
    fn size(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File(_, size) => *size,
        }
    }
}

/// A response that is being sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    head: Vec<u8>,
    body: Body,
    /// Bytes that were sent, of head and body together.
    sent: u64,
}

impl Outgoing {
    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.head.len() as u64 + self.body.size()
    }

    /// Fills the buffer with the next bytes. Returns their number, or nothing if they cannot be read.
    pub(super) fn next(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let copied = |from: &[u8], buffer: &mut [u8]| {
            let count = from.len().min(buffer.len());
            buffer[..count].copy_from_slice(&from[..count]);
            count
        };
        let count = match self.head.get(self.sent as usize..).filter(|rest| !rest.is_empty()) {
            Some(rest) => copied(rest, buffer),
            None => {
                let at = self.sent - self.head.len() as u64;
                match &self.body {
                    Body::Bytes(bytes) => copied(&bytes[at as usize..], buffer),
                    Body::File(file, size) => {
                        let count = (size - at).min(buffer.len() as u64) as usize;
                        file.read_exact_at(&mut buffer[..count], at).ok()?;
                        count
                    }
                }
            }
        };
        self.sent += count as u64;
        Some(count)
    }
}

impl Request {
    /// A request from the bytes of a connection. Returns nothing if more bytes are needed, and the status of the
    /// response if the request is invalid.
    pub(in crate::boot) fn parse(bytes: &[u8]) -> Option<Result<Request, u16>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return (bytes.len() > LARGEST).then_some(Err(431));
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, version] = words[..] else { return Some(Err(400)) };
        if !version.starts_with("HTTP/1.") {
            return Some(Err(505));
        }
        // A proxy's form, `http://host/path`, is accepted, too.
        let target = match target.strip_prefix("http://") {
            Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => target,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
            .collect();
        let body = &bytes[end + 4..];
        let is_chunked =
            headers.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        if body.len() > 2 * LARGEST {
            return Some(Err(413));
        }
        let body = if is_chunked {
            match unchunked(body)? {
                Ok(body) => body,
                Err(status) => return Some(Err(status)),
            }
        } else {
            let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            if length > LARGEST {
                return Some(Err(413));
            }
            body.get(..length)?.to_vec()
        };
        Some(Ok(Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body,
        }))
    }

    pub(in crate::boot) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// The bytes of a chunked body, or nothing if its end is missing. Source: RFC 9112, 7.1.
fn unchunked(mut rest: &[u8]) -> Option<Result<Vec<u8>, u16>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).unwrap_or_default().split(';').next()?.trim();
        let Some(size) = usize::from_str_radix(size, 16).ok().filter(|size| *size <= LARGEST) else {
            return Some(Err(400));
        };
        let data = rest.get(end + 2..end + 2 + size)?;
        if size == 0 {
            return Some(Ok(body));
        }
        body.extend_from_slice(data);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

impl Response {
    pub(in crate::boot) fn text(body: impl Into<String>) -> Response {
        Response {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "text/plain".to_owned())],
            body: Body::Bytes(body.into().into_bytes()),
        }
    }

    pub(in crate::boot) fn json(value: &serde_json::Value) -> Response {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Response { status: 200, headers, body: Body::Bytes(value.to_string().into_bytes()) }
    }

    pub(in crate::boot) fn xml(body: String) -> Response {
        let headers = vec![("Content-Type".to_owned(), "text/xml; charset=utf-8".to_owned())];
        Response { status: 200, headers, body: Body::Bytes(body.into_bytes()) }
    }

    pub(in crate::boot) fn status(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Body::Bytes(Vec::new()) }
    }

    pub(in crate::boot) fn with(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file, of which `size` bytes are sent.
    pub(in crate::boot) fn file(file: Arc<File>, size: u64) -> Response {
        let headers = vec![("Content-Type".to_owned(), "application/octet-stream".to_owned())];
        Response { status: 200, headers, body: Body::File(file, size) }
    }

    pub(super) fn outgoing(self) -> Outgoing {
        let reason = match self.status {
            200 => "OK",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Status",
        };
        let mut text = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", self.body.size()));
        Outgoing { head: text.into_bytes(), body: self.body, sent: 0 }
    }
}
