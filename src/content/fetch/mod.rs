//! Fetches files from `file:`, `http:` and `https:` URLs. Small files (templates, configurations and roles) are fetched
//! as a whole ([`fetch`]), large files (swupd content) as streams that resume after a disconnect ([`Download`]).
//! Packages are downloaded by their package manager.

mod forward;
mod http;
mod stream;

pub use http::{Http, Proxies, Timeouts};
pub use stream::{Download, Retries};

use crate::host::Failure;
use crate::template::display_url as shown;
use http::HttpError;
use std::io::Read;
use std::time::{Duration, Instant};
use url::Url;

/// Maximum size of a file; a template or a role is far smaller.
const LARGEST: u64 = 16 << 20;
/// Initial and maximum pause between attempts.
const PAUSE: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// Why a file could not be fetched.
#[derive(Debug)]
pub enum FetchError {
    /// The server reports that the file does not exist (404 or 410), or the path does not exist.
    Missing(Failure),
    /// Any other failure: no response, a server error, an invalid URL.
    Failed(Failure),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Failure {
        match error {
            FetchError::Missing(failure) | FetchError::Failed(failure) => failure,
        }
    }
}

/// Fetches a URL. Connection failures and server errors are retried until `patience` has passed: an installer may start
/// before the network is up.
///
/// http and https use the proxies in `http_proxy`, `https_proxy` and `no_proxy`. Certificates are verified with the
/// certificate store of the host. Redirects are followed, except from https to http.
pub fn fetch(url: &str, patience: Duration) -> Result<Vec<u8>, FetchError> {
    let invalid = |why: String| {
        FetchError::Failed(
            Failure::new(format!("`{}` could not be fetched: {why}", shown(url)))
                .help("use a URL such as http://HOST/PATH or file:///PATH"),
        )
    };
    let parsed = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
    match parsed.scheme() {
        "file" => {
            let path = parsed.to_file_path().map_err(|()| invalid("not a local path".into()))?;
            read(&path)
        }
        "http" | "https" => over_network(parsed, patience),
        scheme => Err(invalid(format!("unsupported scheme `{scheme}:`"))),
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, FetchError> {
    let failure = |error: &std::io::Error| {
        Failure::new(format!("could not read `{}`", path.display())).detail(error.to_string())
    };
    let open = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match open() {
        Ok(bytes) if bytes.len() as u64 > LARGEST => {
            Err(FetchError::Failed(too_large(&path.display().to_string())))
        }
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(FetchError::Missing(failure(&error)))
        }
        Err(error) => Err(FetchError::Failed(failure(&error))),
    }
}

fn too_large(what: &str) -> Failure {
    Failure::new(format!("`{what}` is larger than {} MiB", LARGEST >> 20))
}

fn over_network(url: Url, patience: Duration) -> Result<Vec<u8>, FetchError> {
    let http = Http::new(&Proxies::default(), &Timeouts::for_small_files()).map_err(FetchError::Failed)?;
    let until = Instant::now() + patience;
    let mut pause = PAUSE[0];
    loop {
        match attempt(&http, &url) {
            Ok(bytes) => return Ok(bytes),
            Err((error, Again::No)) => return Err(error),
            Err((error, Again::Worthwhile)) if Instant::now() + pause > until => return Err(error),
            Err((error, Again::Worthwhile)) => {
                log::debug!("{}; trying again", Failure::from(error).message);
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE[1]);
            }
        }
    }
}

/// Whether another attempt could succeed.
enum Again {
    Worthwhile,
    No,
}

fn attempt(http: &Http, url: &Url) -> Result<Vec<u8>, (FetchError, Again)> {
    let name = shown(url.as_str());
    let answer = http.get(url, 0).map_err(|fault| {
        let again = match &fault {
            HttpError::Unreachable(_) | HttpError::Broken(_) => Again::Worthwhile,
            // Too many requests, or a server error.
            HttpError::Status(429 | 500.., _) => Again::Worthwhile,
            HttpError::Status(..) | HttpError::Refused(_) => Again::No,
        };
        (fault.told_of(url), again)
    })?;
    let mut bytes = Vec::new();
    match answer.body.take(LARGEST + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > LARGEST => Err((FetchError::Failed(too_large(&name)), Again::No)),
        Ok(_) => Ok(bytes),
        Err(error) => Err((HttpError::Broken(error.to_string()).told_of(url), Again::Worthwhile)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Starts a server on loopback that sends one of these responses per connection.
    fn server(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        let serving = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let mut request = String::new();
                while reader.read_line(&mut request).unwrap() > 2 {}
                requests.push(request);
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            requests
        });
        (address, serving)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    #[test]
    fn retries_server_errors_and_follows_redirects() {
        let (address, serving) = server(vec![
            answer("503 Busy", "", ""),
            answer("302 Found", "Location: /there?x=1\r\n", ""),
            answer("200 OK", "", "template=x"),
            answer("404 Not Found", "", "none"),
        ]);
        let bytes = fetch(&format!("http://u:p%40x@{address}/a"), Duration::from_secs(20)).unwrap();
        assert_eq!(bytes, b"template=x");
        assert!(matches!(fetch(&format!("http://{address}/b"), Duration::ZERO), Err(FetchError::Missing(_))));
        let requests = serving.join().unwrap();
        assert!(requests[0].contains("Basic dTpwQHg="), "{}", requests[0]);
        assert!(requests[2].starts_with("GET /there?x=1 "), "{}", requests[2]);
    }

    #[test]
    fn retries_until_the_server_is_up() {
        // An unused port.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let late = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(600));
            let (mut stream, _) = TcpListener::bind(address).unwrap().accept().unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            stream.write_all(answer("200 OK", "", "late").as_bytes()).unwrap();
        });
        let url = format!("http://{address}/");
        assert!(fetch(&url, Duration::ZERO).is_err());
        assert_eq!(fetch(&url, Duration::from_secs(15)).unwrap(), b"late");
        late.join().unwrap();
    }

    #[test]
    fn fetches_local_files_and_rejects_invalid_urls() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "x").unwrap();
        assert_eq!(fetch(&format!("file://{}", file.path().display()), Duration::ZERO).unwrap(), b"x");
        assert!(matches!(fetch("file:///no/such", Duration::ZERO), Err(FetchError::Missing(_))));
        for url in ["ftp://h/x", "nonsense", "file://host/x"] {
            assert!(matches!(fetch(url, Duration::ZERO), Err(FetchError::Failed(_))), "{url}");
        }
    }
}
