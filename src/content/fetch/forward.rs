//! Plain HTTP through a proxy, which receives requests with the absolute URL. Source: RFC 9112, 3.2.2.
//!
//! ureq opens a tunnel (`CONNECT`) for every request instead, which proxies commonly allow only for port 443. Its
//! resolver and transport can be replaced; this module provides both.

use base64::Engine;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport,
};
use ureq::{Agent, Error, Proxy};

/// Creates an agent that sends all requests to `proxy`. `config` must not contain a proxy.
pub(super) fn agent(config: Config, proxy: &Proxy) -> Agent {
    let authorization = proxy.username().map(|name| {
        let pair = format!("{name}:{}", proxy.password().unwrap_or_default());
        let value = base64::engine::general_purpose::STANDARD.encode(pair);
        format!("Proxy-Authorization: Basic {value}\r\n")
    });
    let connector =
        ().chain(TcpConnector::default())
            .chain(AbsoluteUrls { authorization: authorization.unwrap_or_default() });
    Agent::with_parts(config, connector, ToProxy { proxy: proxy.uri().clone() })
}

/// Resolves every host to the address of the proxy.
#[derive(Debug)]
struct ToProxy {
    proxy: Uri,
}

impl Resolver for ToProxy {
    fn resolve(&self, _: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        DefaultResolver::default().resolve(&self.proxy, config, timeout)
    }
}

#[derive(Debug)]
struct AbsoluteUrls {
    /// A header line, or empty.
    authorization: String,
}

impl<In: Transport> Connector<In> for AbsoluteUrls {
    type Out = ProxyTransport<In>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let authority = details.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        Ok(chained.map(|inner| ProxyTransport {
            inner,
            origin: format!("http://{authority}"),
            authorization: self.authorization.clone(),
        }))
    }
}

#[derive(Debug)]
struct ProxyTransport<In> {
    inner: In,
    origin: String,
    authorization: String,
}

impl<In: Transport> Transport for ProxyTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        let amount = match rewrite_request(&output[..amount], &self.origin, &self.authorization) {
            None => amount,
            Some(request) if request.len() <= output.len() => {
                output[..request.len()].copy_from_slice(&request);
                request.len()
            }
            Some(_) => return Err(Error::BadUri("the request does not fit the proxy buffer".into())),
        };
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }
}

/// Rewrites the head of a request to the absolute URL. Requests never have a body.
fn rewrite_request(request: &[u8], origin: &str, authorization: &str) -> Option<Vec<u8>> {
    let path = request.strip_prefix(b"GET ").filter(|rest| rest.starts_with(b"/"))?;
    let end = path.windows(2).position(|pair| pair == b"\r\n")? + 2;
    Some([b"GET ", origin.as_bytes(), &path[..end], authorization.as_bytes(), &path[end..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_contain_the_absolute_url() {
        let request = b"GET /a?b HTTP/1.1\r\nhost: h\r\n\r\n";
        let rewritten = rewrite_request(request, "http://h:8", "Proxy-Authorization: Basic x\r\n").unwrap();
        let expected: &[u8] =
            b"GET http://h:8/a?b HTTP/1.1\r\nProxy-Authorization: Basic x\r\nhost: h\r\n\r\n";
        assert_eq!(rewritten, expected);
        assert_eq!(rewrite_request(b"more", "http://h", ""), None);
    }
}
