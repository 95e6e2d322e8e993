//! Downloads a file of any size as a stream that resumes after a disconnect.

use super::http::{Http, HttpError};
use super::{FetchError, shown};
use crate::host::Failure;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::Url;

/// Minimum average rate over [`Retries::slow`], in bytes per second.
const LEAST_RATE: u64 = 1 << 10;
/// Number of bytes after which a disconnect counts as a new failure instead of a repeated one.
const PROGRESS: u64 = 64 << 10;

/// Retry policy: the pause doubles with each attempt, up to the limit.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    pub count: u32,
    pub pause: Duration,
    pub longest: Duration,
    /// How long a server may stay below [`LEAST_RATE`] before the connection is replaced.
    pub slow: Duration,
}

/// Reads a URL. After a disconnect, the rest is requested again.
pub struct Download {
    http: Arc<Http>,
    url: Url,
    retries: Retries,
    tried: u32,
    /// Bytes received since the last attempt.
    bytes_since_attempt: u64,
    /// Number of connections abandoned because they were slow.
    slow: u32,
    /// Time spent waiting for the server, and bytes received, since the last rate check.
    waited: Duration,
    came: u64,
    body: Option<Box<dyn Read + Send>>,
    /// Offset in the file of the next byte to return.
    at: u64,
    /// End of the body, if the server announced it.
    end: Option<u64>,
    /// The download failed before its end.
    failed: bool,
    /// A reused connection may have been closed by the server; the first disconnect does not count as a failure.
    may_be_stale: bool,
}

impl Download {
    /// Starts a download at byte `from` and checks that the file exists. `read` reports later failures as an
    /// [`io::Error`] that contains a [`Failure`].
    pub fn begin(http: &Arc<Http>, url: &Url, from: u64, retries: Retries) -> Result<Download, FetchError> {
        let mut download = Download {
            http: Arc::clone(http),
            url: url.clone(),
            retries,
            tried: 0,
            bytes_since_attempt: 0,
            slow: 0,
            waited: Duration::ZERO,
            came: 0,
            body: None,
            at: from,
            end: None,
            failed: false,
            may_be_stale: true,
        };
        download.connect()?;
        Ok(download)
    }

    fn connect(&mut self) -> Result<(), FetchError> {
        loop {
            let fault = match self.open() {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            // Not retried, as in swupd-client. Invalid ranges and wrong passwords are not retried either.
            let hopeless = match &fault {
                HttpError::Unreachable(_) | HttpError::Refused(_) => true,
                HttpError::Status(status, _) => matches!(status, 400 | 401 | 403 | 404 | 407 | 410 | 416),
                HttpError::Broken(_) if std::mem::take(&mut self.may_be_stale) => continue,
                HttpError::Broken(_) => false,
            };
            if hopeless || !self.may_try_again() {
                self.failed = true;
                return Err(fault.told_of(&self.url));
            }
        }
    }

    /// Waits for the next attempt. Returns `false` if there are no attempts left.
    fn may_try_again(&mut self) -> bool {
        if self.tried >= self.retries.count || self.url.scheme() == "file" {
            return false;
        }
        let pause = self.retries.pause.saturating_mul(1 << self.tried.min(16)).min(self.retries.longest);
        self.tried += 1;
        self.bytes_since_attempt = 0;
        log::debug!("{}: attempt {} in {pause:?}", shown(self.url.as_str()), self.tried + 1);
        std::thread::sleep(pause);
        true
    }

    fn open(&mut self) -> Result<(), HttpError> {
        if self.url.scheme() == "file" {
            return self.open_file();
        }
        let answer = self.http.get(&self.url, self.at)?;
        let mut body = answer.body;
        let start = if answer.is_part { self.at } else { 0 };
        let end = |length: u64| {
            let refused = || HttpError::Refused(format!("the server announced {length} more bytes"));
            start.checked_add(length).ok_or_else(refused)
        };
        self.end = answer.length.map(end).transpose()?;
        if start < self.at {
            // The server does not support ranges.
            let skipped = io::copy(&mut body.by_ref().take(self.at), &mut io::sink())
                .map_err(|error| HttpError::Broken(error.to_string()))?;
            if skipped < self.at {
                return Err(HttpError::Broken("the file became shorter".into()));
            }
        }
        self.body = Some(body);
        Ok(())
    }

    fn open_file(&mut self) -> Result<(), HttpError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => HttpError::Status(404, error.to_string()),
            _ => HttpError::Broken(error.to_string()),
        };
        let path = self.url.to_file_path().map_err(|()| HttpError::Unreachable("not a local path".into()))?;
        // Non-blocking, because opening a FIFO could block.
        let flags = OFlags::NONBLOCK.bits() as i32;
        let mut file = File::options().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(HttpError::Broken("not a regular file".into()));
        }
        file.seek(SeekFrom::Start(self.at)).map_err(unreadable)?;
        self.end = Some(metadata.len());
        self.body = Some(Box::new(file));
        Ok(())
    }

    /// Whether the server has been too slow. Counts only the time spent waiting for the server, because the reader may
    /// be slow too.
    fn is_slow(&mut self, waited: Duration, came: u64) -> bool {
        self.waited += waited;
        self.came += came;
        if self.url.scheme() == "file" || self.waited < self.retries.slow {
            return false;
        }
        let enough = LEAST_RATE.saturating_mul(self.waited.as_secs().max(1));
        let is_slow = self.came < enough;
        (self.waited, self.came) = (Duration::ZERO, 0);
        is_slow
    }

    fn failure(&mut self, fault: HttpError) -> io::Error {
        self.failed = true;
        io::Error::other(Failure::from(fault.told_of(&self.url)))
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("the download has failed"));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Some(body) = &mut self.body else { return Ok(0) };
            let read_started = Instant::now();
            let fault = match body.read(buffer) {
                Ok(0) if self.end.is_none_or(|end| self.at >= end) => {
                    self.body = None;
                    return Ok(0);
                }
                Ok(0) => HttpError::Broken(format!("the connection was closed after {} bytes", self.at)),
                Ok(count) => {
                    self.at += count as u64;
                    self.bytes_since_attempt += count as u64;
                    if self.bytes_since_attempt >= PROGRESS {
                        // The download makes progress: forget earlier failures.
                        self.tried = 0;
                    }
                    if self.is_slow(read_started.elapsed(), count as u64) && self.end != Some(self.at) {
                        if self.slow >= self.retries.count {
                            let period = self.retries.slow.as_secs();
                            let why = format!(
                                "repeatedly received less than {LEAST_RATE} bytes per second over {period} s"
                            );
                            return Err(self.failure(HttpError::Broken(why)));
                        }
                        self.slow += 1;
                        log::debug!("{}: too slow, reconnecting", shown(self.url.as_str()));
                        self.connect().map_err(|error| io::Error::other(Failure::from(error)))?;
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => HttpError::Broken(error.to_string()),
            };
            self.body = None;
            if !self.may_try_again() {
                return Err(self.failure(fault));
            }
            self.connect().map_err(|error| io::Error::other(Failure::from(error)))?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Proxies, Timeouts};
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    const RETRIES: Retries = Retries {
        count: 2,
        pause: Duration::from_millis(1),
        longest: Duration::from_millis(2),
        slow: Duration::from_secs(60),
    };

    /// Sends one of these responses per connection and returns the requests.
    fn serve(answers: Vec<Vec<u8>>) -> (Url, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/pack", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let mut request = String::new();
                while reader.read_line(&mut request).unwrap() > 2 {}
                requests.push(request.to_lowercase());
                reader.get_mut().write_all(&answer).unwrap();
            }
            requests
        });
        (Url::parse(&url).unwrap(), serving)
    }

    fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    fn part(from: usize, body: &[u8]) -> Vec<u8> {
        let range = format!("206 Part\r\nContent-Range: bytes {from}-{}/10", from + body.len() - 1);
        answer(&range, body.len(), body)
    }

    fn read(url: &Url, from: u64) -> Result<Vec<u8>, String> {
        let http = Arc::new(Http::new(&Proxies::default(), &Timeouts::for_small_files()).unwrap());
        let failure_text = |error: FetchError| Failure::from(error).to_string();
        let mut download = Download::begin(&http, url, from, RETRIES).map_err(failure_text)?;
        let mut bytes = Vec::new();
        download.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    #[test]
    fn resumes_after_a_disconnect() {
        let (url, serving) =
            serve(vec![answer("500 Oh", 0, b""), answer("200 OK", 10, b"0123"), part(4, b"456789")]);
        assert_eq!(read(&url, 0).unwrap(), b"0123456789");
        let requests = serving.join().unwrap();
        assert!(!requests[1].contains("range:"));
        assert!(requests[2].contains("range: bytes=4-"), "{}", requests[2]);
    }

    #[test]
    fn resumes_without_range_support() {
        let (url, serving) = serve(vec![answer("200 OK", 10, b"0123"), answer("200 OK", 10, b"0123456789")]);
        assert_eq!(read(&url, 0).unwrap(), b"0123456789");
        serving.join().unwrap();
    }

    #[test]
    fn permanent_errors_are_not_retried_and_others_are_limited() {
        let (url, serving) = serve(vec![answer("404 Not Found", 0, b"")]);
        assert!(read(&url, 0).unwrap_err().contains("404"));
        assert_eq!(serving.join().unwrap().len(), 1);
        let (url, serving) = serve(vec![answer("503 Busy", 0, b""); 3]);
        assert!(read(&url, 0).unwrap_err().contains("503"));
        assert_eq!(serving.join().unwrap().len(), 3);
        // The server no longer listens.
        assert!(read(&url, 0).unwrap_err().contains("could not fetch"));
    }

    #[test]
    fn wrong_ranges_are_rejected() {
        let (url, serving) = serve(vec![answer("200 OK", 10, b"0123"), part(2, b"23456789")]);
        assert!(read(&url, 0).unwrap_err().contains("a different range"));
        serving.join().unwrap();
    }

    #[test]
    fn progress_resets_the_retry_limit() {
        let pieces = |size: usize| {
            let whole: Vec<u8> = (0..10 * size).map(|at| at as u8).collect();
            let piece = |at: usize| {
                let range =
                    format!("206 Part\r\nContent-Range: bytes {}-{}/{}", at * size, 10 * size - 1, 10 * size);
                let status = if at == 0 { "200 OK" } else { &range };
                answer(status, (10 - at) * size, &whole[at * size..(at + 1) * size])
            };
            let (url, serving) = serve((0..10).map(piece).collect());
            (whole, url, serving)
        };
        let (whole, url, serving) = pieces(PROGRESS as usize);
        assert!(read(&url, 0).unwrap() == whole);
        assert_eq!(serving.join().unwrap().len(), 10);
        // Gives up after three attempts.
        let (_, url, _) = pieces(1);
        let why = read(&url, 0).unwrap_err();
        assert!(why.contains("could not fetch"), "{why}");
    }

    #[test]
    fn slow_servers_are_retried_and_then_given_up() {
        let patience = Retries { slow: Duration::ZERO, ..RETRIES };
        let fetched = |answers: Vec<Vec<u8>>| {
            let (url, serving) = serve(answers);
            let http = Arc::new(Http::new(&Proxies::default(), &Timeouts::for_small_files()).unwrap());
            let mut download = Download::begin(&http, &url, 0, patience)
                .unwrap_or_else(|error| panic!("{}", Failure::from(error)));
            // Read single bytes to simulate a slow connection.
            let (mut bytes, mut one) = (Vec::new(), [0]);
            let ended = loop {
                match download.read(&mut one) {
                    Ok(0) => break Ok(()),
                    Ok(_) => bytes.push(one[0]),
                    Err(error) => break Err(error.to_string()),
                }
            };
            drop(download);
            (bytes, ended, serving.join().unwrap().len())
        };
        let (whole, after) =
            (answer("200 OK", 10, b"0123456789"), |at: usize| part(at, &b"0123456789"[at..]));
        let (bytes, ended, count) = fetched(vec![whole, after(1), after(2)]);
        assert_eq!((&bytes[..], count), (&b"01"[..], 3));
        assert!(ended.unwrap_err().contains("less than 1024 bytes per second"));
    }

    #[test]
    fn reads_local_files_from_an_offset() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789").unwrap();
        let url = Url::from_file_path(file.path()).unwrap();
        assert_eq!(read(&url, 0).unwrap(), b"0123456789");
        assert_eq!(read(&url, 7).unwrap(), b"789");
        assert!(read(&Url::parse("file:///no/such").unwrap(), 0).is_err());
        assert!(read(&Url::parse("file:///tmp").unwrap(), 0).unwrap_err().contains("not a regular file"));
    }
}
