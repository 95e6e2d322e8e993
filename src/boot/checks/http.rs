//! Sends the requests of `http` checks to the guest, through ports that QEMU forwards.

use super::definition::flag;
use super::matchers::Actual;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use ureq::http::Uri;

/// A request to a server in the guest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(super) port: u16,
    url: Uri,
    method: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    follow: bool,
    seconds: u64,
}

/// What the server sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    status: u16,
    headers: String,
    body: String,
}

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 5;
/// Bytes of a body that are searched.
const MOST_BODY: u64 = 1 << 20;
/// A service may still be starting after the login prompt.
const PAUSE: Duration = Duration::from_secs(2);

impl Request {
    pub(super) fn new(url: &str, attributes: &Map<String, Value>, seconds: u64) -> Result<Request, String> {
        let url: Uri = url.parse().map_err(|error| format!("invalid URL `{url}`: {error}"))?;
        if url.scheme_str() != Some("http") {
            return Err(format!(
                "the URL `{url}` does not begin with http://; other protocols are not supported"
            ));
        }
        check_host(&url)?;
        let text = |name: &str| match attributes.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{name}: not a string")),
        };
        let mut headers = Vec::new();
        let given = match attributes.get("request-headers") {
            None => &[][..],
            Some(given) => given.as_array().ok_or("request-headers: not a list")?,
        };
        for header in given {
            let header = header.as_str().ok_or("request-headers: not a list of strings")?;
            let (name, value) =
                header.split_once(':').ok_or_else(|| format!("request-headers: `{header}` has no `:`"))?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        if let Some(user) = text("username")? {
            let pair = format!("{user}:{}", text("password")?.unwrap_or_default());
            headers.push(("Authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair))));
        }
        Ok(Request {
            port: url.port_u16().unwrap_or(80),
            url,
            method: method(text("method")?.unwrap_or_else(|| "GET".to_owned()))?,
            headers,
            body: text("request-body")?,
            follow: !flag(attributes, "no-follow-redirects")?,
            seconds,
        })
    }

    /// Sends the request, again if the server cannot be reached yet. `ports` are the host's ports by those of the
    /// guest.
    pub(crate) fn send(&self, ports: &BTreeMap<u16, u16>) -> Result<Response, String> {
        let until = std::time::Instant::now() + Duration::from_secs(self.seconds);
        let mut url = self.url.clone();
        let mut redirects = 0;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            match self.try_once(&url, ports, left.max(Duration::from_millis(100)), redirects > 0) {
                Ok((response, Some(next))) if self.follow && redirects < MOST_REDIRECTS => {
                    redirects += 1;
                    url = target(&url, &next)
                        .map_err(|why| format!("status {} redirects to `{next}`: {why}", response.status))?;
                }
                Ok((response, _)) => return Ok(response),
                Err(why) if left.is_zero() => {
                    return Err(format!("no answer within {} s: {why}", self.seconds));
                }
                Err(_) => std::thread::sleep(PAUSE.min(left)),
            }
        }
    }

    /// The response, and where it redirects to.
    fn try_once(
        &self,
        url: &Uri,
        ports: &BTreeMap<u16, u16>,
        limit: Duration,
        is_redirected: bool,
    ) -> Result<(Response, Option<String>), String> {
        let guest_port = url.port_u16().unwrap_or(80);
        let port = ports
            .get(&guest_port)
            .ok_or_else(|| format!("the guest's port {guest_port} is not forwarded"))?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        let method = if is_redirected { "GET" } else { self.method.as_str() };
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("http://127.0.0.1:{port}{path}"));
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let host = url.authority().map_or("localhost", |authority| authority.as_str());
            request = request.header("Host", host);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // Browsers and goss continue with GET after a redirect.
        let body = self.body.clone().filter(|_| !is_redirected).unwrap_or_default();
        let request = request.body(body).map_err(|error| error.to_string())?;
        let mut response =
            ureq::Agent::new_with_config(config).run(request).map_err(|error| error.to_string())?;
        let mut headers = String::new();
        for (name, value) in response.headers() {
            headers.push_str(&format!(
                "{}: {}\n",
                canonical(name.as_str()),
                String::from_utf8_lossy(value.as_bytes())
            ));
        }
        let status = response.status();
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let location = location.filter(|_| status.is_redirection()).map(str::to_owned);
        let body =
            response.body_mut().with_config().limit(MOST_BODY).read_to_vec().map_err(|e| e.to_string())?;
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok((Response { status: status.as_u16(), headers, body }, location))
    }
}

/// Source: RFC 9110, 9.1 and 5.6.2.
fn method(name: String) -> Result<String, String> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.chars().all(is_token) { Ok(name) } else { Err(format!("method: `{name}` is not a method")) }
}

/// The form of a header's name that goss shows: `Content-Type`.
fn canonical(name: &str) -> String {
    let mut after_hyphen = true;
    let letter = |c: char| {
        let c = if after_hyphen { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        after_hyphen = c == '-';
        c
    };
    name.chars().map(letter).collect()
}

/// Only the guest itself can be reached.
fn check_host(url: &Uri) -> Result<(), String> {
    match url.host() {
        Some("localhost" | "127.0.0.1" | "[::1]" | "0.0.0.0") => Ok(()),
        host => Err(format!(
            "the host `{}` is not the guest; write http://localhost:PORT/…",
            host.unwrap_or_default()
        )),
    }
}

/// The URL of a redirect.
fn target(from: &Uri, location: &str) -> Result<Uri, String> {
    let url = if location.starts_with('/') && !location.starts_with("//") {
        format!("http://{}{location}", from.authority().map_or("localhost", |authority| authority.as_str()))
    } else {
        location.to_owned()
    };
    let url: Uri = url.parse().map_err(|error| format!("{error}"))?;
    if url.scheme_str() != Some("http") {
        return Err("only http is supported".to_owned());
    }
    check_host(&url).map(|()| url)
}

impl Response {
    pub(super) fn value(&self, name: &str) -> Option<Actual> {
        match name {
            "status" => Some(Actual::Number(f64::from(self.status))),
            "headers" => Some(Actual::Lines(self.headers.clone())),
            "body" => Some(Actual::Lines(self.body.clone())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn redirects_within_the_guest_are_followed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let mut seen = Vec::new();
            for answer in ["302 Found\r\nLocation: /there", "200 OK\r\nX-Kind: page"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut buffer = [0; 2048];
                let count = stream.read(&mut buffer).unwrap();
                seen.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
                write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")
                    .unwrap();
            }
            seen
        });
        let request = Request::new("http://localhost:8080/here?a=b", &Map::new(), 20).unwrap();
        let response = request.send(&BTreeMap::from([(8080, port)])).unwrap();
        let seen = server.join().unwrap();
        assert!(seen[0].starts_with("GET /here?a=b HTTP/1.1\r\n"), "{}", seen[0]);
        assert!(seen[0].to_lowercase().contains("host: localhost:8080\r\n"), "{}", seen[0]);
        assert!(seen[1].starts_with("GET /there "), "{}", seen[1]);
        assert_eq!(response.value("status"), Some(Actual::Number(200.0)));
        assert_eq!(response.body, "hello\n");
        assert!(response.headers.contains("X-Kind: page\n"), "{}", response.headers);
    }

    #[test]
    fn other_hosts_are_rejected() {
        for (url, why) in [
            ("https://localhost/", "does not begin with http://"),
            ("http://example.org/", "the host `example.org` is not the guest"),
        ] {
            let said = Request::new(url, &Map::new(), 1).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
        let from: Uri = "http://localhost/".parse().unwrap();
        assert!(target(&from, "http://example.org/").is_err() && target(&from, "//example.org/").is_err());
    }
}
