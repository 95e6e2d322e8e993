//! A single HTTP or HTTPS request and its response.

use super::{FetchError, forward};
use crate::host::Failure;
use crate::template::display_url as shown;
use base64::Engine;
use std::io::Read;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::Response;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Error, Proxy, ProxyProtocol};
use url::Url;

const MOST_REDIRECTS: usize = 5;

/// Proxies per scheme that override the environment. They may contain a password.
#[derive(Clone, Default)]
pub struct Proxies {
    pub http: Option<String>,
    pub https: Option<String>,
}

/// Timeouts for a server.
pub struct Timeouts {
    pub connect: Duration,
    pub first_byte: Duration,
    /// Maximum time without receiving a byte.
    pub stall: Duration,
    pub whole: Option<Duration>,
}

impl Timeouts {
    pub(super) fn for_small_files() -> Timeouts {
        Timeouts {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            whole: Some(Duration::from_secs(120)),
        }
    }
}

/// HTTP client. Certificates are verified with the certificate store of the host, with TLS 1.2 or later. Connections
/// are reused.
pub struct Http {
    /// For http without a proxy, and with proxies that open a tunnel.
    plain: Agent,
    /// For http with a proxy that receives absolute URLs.
    forwarded: Option<(Proxy, Agent)>,
    tls: Agent,
}

/// Response of a server.
pub(super) struct Answer {
    pub body: Box<dyn Read + Send>,
    /// Whether the body starts at the requested offset instead of at 0.
    pub is_part: bool,
    /// Length of the body as announced by the server.
    pub length: Option<u64>,
}

/// Why a request failed, classified by how the caller reacts.
#[derive(Debug)]
pub(super) enum HttpError {
    /// The server is unreachable or its certificate is not trusted.
    Unreachable(String),
    Status(u16, String),
    /// A response that a retry does not change, such as an invalid redirect or encoding.
    Refused(String),
    /// The connection was lost during the response.
    Broken(String),
}

impl HttpError {
    pub(super) fn told_of(self, url: &Url) -> FetchError {
        let failed =
            |why: String| Failure::new(format!("could not fetch `{}`", shown(url.as_str()))).detail(why);
        match self {
            HttpError::Status(404 | 410, why) => FetchError::Missing(failed(why)),
            HttpError::Unreachable(why) => {
                FetchError::Failed(failed(why).help("check the address, the network and the proxy"))
            }
            HttpError::Status(_, why) | HttpError::Refused(why) | HttpError::Broken(why) => {
                FetchError::Failed(failed(why))
            }
        }
    }
}

impl Http {
    pub fn new(proxies: &Proxies, patience: &Timeouts) -> Result<Http, Failure> {
        let config = |proxy: Option<Proxy>| -> Config {
            Agent::config_builder()
                .user_agent(concat!("ister/", env!("CARGO_PKG_VERSION")))
                .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
                .http_status_as_error(false)
                // Redirects are followed below, to reject those from https to http.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_connect(Some(patience.connect))
                .timeout_recv_response(Some(patience.first_byte))
                .timeout_per_read(Some(patience.stall))
                .timeout_global(patience.whole)
                .proxy(proxy)
                .build()
        };
        let plain = proxy(proxies.http.as_deref(), "http")?;
        let (whole_urls, tunnel) = match plain {
            Some(proxy) if proxy.protocol() == ProxyProtocol::Http => (Some(proxy), None),
            other => (None, other),
        };
        Ok(Http {
            plain: config(tunnel).into(),
            forwarded: whole_urls.map(|proxy| {
                let agent = forward::agent(config(None), &proxy);
                (proxy, agent)
            }),
            tls: config(proxy(proxies.https.as_deref(), "https")?).into(),
        })
    }

    /// Returns the proxy used for a URL, for messages.
    fn proxy_for(&self, url: &Url) -> Option<String> {
        let proxy = match (url.scheme(), &self.forwarded) {
            ("https", _) => self.tls.config().proxy(),
            (_, Some((proxy, _))) => Some(proxy),
            (_, None) => self.plain.config().proxy(),
        }?;
        let target: Uri = url.as_str().parse().ok()?;
        (!proxy.is_no_proxy(&target)).then(|| format!("{}:{}", proxy.host(), proxy.port()))
    }

    fn agent(&self, url: &Url) -> &Agent {
        if url.scheme() == "https" {
            return &self.tls;
        }
        let target: Option<Uri> = url.as_str().parse().ok();
        match (&self.forwarded, target) {
            (Some((proxy, agent)), Some(target)) if !proxy.is_no_proxy(&target) => agent,
            _ => &self.plain,
        }
    }

    /// Requests a URL, starting at byte `from`. Redirects are followed, except from https to http.
    pub(super) fn get(&self, url: &Url, from: u64) -> Result<Answer, HttpError> {
        let mut url = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let through = |why: String| match self.proxy_for(&url) {
                Some(proxy) => format!("{why} (through the proxy {proxy})"),
                None => why,
            };
            let response = self.ask(&url, from).map_err(|error| match error {
                Error::HostNotFound
                | Error::ConnectionFailed
                | Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)
                | Error::Tls(_)
                | Error::Rustls(_)
                | Error::BadUri(_)
                | Error::InvalidProxyUrl => HttpError::Unreachable(through(error.to_string())),
                Error::Io(ref cause) if is_unreachable(cause) => {
                    HttpError::Unreachable(through(cause.to_string()))
                }
                error => HttpError::Broken(through(error.to_string())),
            })?;
            let status = response.status();
            if status.is_redirection() {
                url = redirected(&url, &response).map_err(HttpError::Refused)?;
                continue;
            }
            if !status.is_success() {
                return Err(HttpError::Status(status.as_u16(), format!("the server returned {status}")));
            }
            let header = |name: &str| response.headers().get(name).and_then(|text| text.to_str().ok());
            if let Some(encoding) =
                header("content-encoding").filter(|text| !text.eq_ignore_ascii_case("identity"))
            {
                return Err(HttpError::Refused(format!(
                    "the server sent an unsupported Content-Encoding `{encoding}`"
                )));
            }
            let length = header("content-length").and_then(|text| text.parse().ok());
            // Source: RFC 9110, 14.4.
            let start = header("content-range")
                .and_then(|text| text.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
            if status.as_u16() == 206 && start != Some(from) {
                return Err(HttpError::Refused(format!(
                    "the server sent a different range than the one from byte {from}"
                )));
            }
            return Ok(Answer {
                is_part: status.as_u16() == 206,
                length,
                body: Box::new(response.into_body().into_reader()),
            });
        }
        Err(HttpError::Refused(format!("more than {MOST_REDIRECTS} redirects")))
    }

    fn ask(&self, url: &Url, from: u64) -> Result<Response<Body>, Error> {
        let mut plain = url.clone();
        let _ = plain.set_username("");
        let _ = plain.set_password(None);
        let mut request = self.agent(url).get(plain.as_str());
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        if !url.username().is_empty() {
            let decoded = |text: &str| String::from_utf8_lossy(&percent_decoded(text)).into_owned();
            let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
            let value = base64::engine::general_purpose::STANDARD.encode(pair);
            request = request.header("Authorization", format!("Basic {value}"));
        }
        request.call()
    }
}

/// Returns the proxy for a scheme: the given one, or the one from the environment with the exceptions in `no_proxy`,
/// which include subdomains.
fn proxy(given: Option<&str>, scheme: &str) -> Result<Option<Proxy>, Failure> {
    let variable = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_uppercase())).ok()?;
        Some(value).filter(|value| !value.is_empty())
    };
    let of_environment = || variable(&format!("{scheme}_proxy")).or_else(|| variable("all_proxy"));
    let Some(text) = given.map(str::to_owned).or_else(of_environment) else { return Ok(None) };
    let whole = if text.contains("://") { text } else { format!("http://{text}") };
    let no_proxy = |why: &str| {
        Failure::new(format!("invalid {scheme} proxy `{}`: {why}", shown(&whole)))
            .help(format!("set {scheme}_proxy to a URL such as http://HOST:PORT"))
    };
    let url = Url::parse(&whole).map_err(|error| no_proxy(&error.to_string()))?;
    let protocol = match url.scheme() {
        "http" => ProxyProtocol::Http,
        "https" => ProxyProtocol::Https,
        "socks4" => ProxyProtocol::Socks4,
        "socks4a" => ProxyProtocol::Socks4A,
        "socks5" | "socks5h" => ProxyProtocol::Socks5,
        other => return Err(no_proxy(&format!("unsupported proxy scheme `{other}:`"))),
    };
    let decoded = |text: &str| String::from_utf8_lossy(&percent_decoded(text)).into_owned();
    let host = url.host_str().ok_or_else(|| no_proxy("missing host"))?;
    let mut builder = Proxy::builder(protocol).host(host);
    if let Some(port) = url.port_or_known_default() {
        builder = builder.port(port);
    }
    if !url.username().is_empty() {
        builder =
            builder.username(&decoded(url.username())).password(&decoded(url.password().unwrap_or_default()));
    }
    if let Some(exceptions) = variable("no_proxy").filter(|_| given.is_none()) {
        for exception in exceptions.split([',', ' ']).filter(|text| !text.is_empty()) {
            let exception = host_of(exception);
            builder = builder.no_proxy(exception);
            if !exception.starts_with(['.', '*']) {
                builder = builder.no_proxy(&format!(".{exception}"));
            }
        }
    }
    builder.build().map(Some).map_err(|error| no_proxy(&error.to_string()))
}

/// Returns the host of a `no_proxy` entry without its port, as in `[::1]:8080` and `h:8080`.
fn host_of(exception: &str) -> &str {
    if let Some(bracketed) = exception.strip_prefix('[') {
        return bracketed.split(']').next().unwrap_or(bracketed);
    }
    match exception.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => exception,
    }
}

fn is_unreachable(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::*;
    // rustls reports certificate errors as invalid data; failed name lookups do not have an error kind.
    matches!(
        error.kind(),
        ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable | InvalidData
    ) || error.to_string().contains("failed to lookup address information")
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|_| bytes[at] == b'%') {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// Returns the target of a redirect. Credentials are only passed on to the same origin.
fn redirected(from: &Url, response: &Response<Body>) -> Result<Url, String> {
    let place = response.headers().get("location").and_then(|value| value.to_str().ok());
    let place = place.ok_or("the server sent a redirect without a location")?;
    let mut to =
        from.join(place).map_err(|error| format!("the server redirects to `{}`: {error}", shown(place)))?;
    if to.origin() == from.origin() && to.username().is_empty() {
        let _ = to.set_username(from.username());
        let _ = to.set_password(from.password());
    }
    match (from.scheme(), to.scheme()) {
        ("http", "http" | "https") | ("https", "https") => Ok(to),
        _ => Err(format!("the server redirects from {} to `{}`", from.scheme(), shown(to.as_str()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_no_proxy_entries_are_ignored() {
        for (exception, host) in [
            ("h:8080", "h"),
            ("[::1]:8080", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            (".h", ".h"),
            ("*", "*"),
        ] {
            assert_eq!(host_of(exception), host);
        }
    }

    #[test]
    fn insecure_redirects_are_rejected() {
        let response = |place: &str| {
            Response::builder().status(302).header("Location", place).body(Body::builder().data("")).unwrap()
        };
        let from = Url::parse("https://h/a").unwrap();
        assert_eq!(redirected(&from, &response("../b")).unwrap().as_str(), "https://h/b");
        assert!(redirected(&from, &response("http://h/b")).is_err());
        assert!(redirected(&from, &response("file:///etc/passwd")).is_err());
    }
}
