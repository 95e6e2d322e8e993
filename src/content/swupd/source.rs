//! The URLs of a mix or mirror, and fetching of small files.

use super::hash::ObjectHash;
use super::manifest::BundleName;
use crate::content::fetch::{Download, FetchError, Http, Proxies, Retries, Timeouts};
use crate::host::Failure;
use crate::template::display_url;
use std::fmt::Display;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use url::Url;

/// Same as upstream's client, except for `slow`: upstream accepts one byte per second.
pub(super) const RETRIES: Retries = Retries {
    count: 3,
    pause: Duration::from_secs(10),
    longest: Duration::from_secs(60),
    slow: Duration::from_secs(60),
};

pub(super) struct Source {
    http: Arc<Http>,
    content: String,
    version: String,
    scheme: String,
    retries: Retries,
    fetched: AtomicU64,
}

impl Source {
    /// Creates a source from the content URL and the version URL.
    pub(super) fn new(
        content: &str,
        version: &str,
        proxies: &Proxies,
        retries: Retries,
    ) -> Result<Source, Failure> {
        let patience = Timeouts {
            connect: Duration::from_secs(30),
            first_byte: Duration::from_secs(120),
            stall: Duration::from_secs(120),
            whole: None,
        };
        let content = content.trim_end_matches('/').to_owned();
        let version = version.trim_end_matches('/').to_owned();
        let scheme = Source::url(&content)?.scheme().to_owned();
        Source::url(&version)?;
        let http = Arc::new(Http::new(proxies, &patience)?);
        Ok(Source { http, content, version, scheme, retries, fetched: AtomicU64::new(0) })
    }

    fn url(text: &str) -> Result<Url, Failure> {
        let no_url = |why: String| {
            Failure::new(format!("invalid swupd URL `{}`: {why}", display_url(text)))
                .help("use a URL such as https://HOST/PATH or file:///PATH")
        };
        let url = Url::parse(text).map_err(|error| no_url(error.to_string()))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(no_url(
                "`?` and `#` are not allowed (write them as %3F and %23 in a path)".to_owned(),
            ));
        }
        match url.scheme() {
            "file" | "http" | "https" => Ok(url),
            scheme => Err(no_url(format!("unsupported scheme `{scheme}:`"))),
        }
    }

    /// Returns the content URL for messages, without a password.
    pub(super) fn shown(&self) -> String {
        display_url(&self.content)
    }

    pub(super) fn is_unencrypted(&self) -> bool {
        self.scheme == "http"
    }

    /// Whether the content is on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.scheme == "file"
    }

    /// Returns the number of bytes fetched so far.
    pub(super) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    pub(super) fn newest(&self, format: &dyn Display, suffix: &str) -> String {
        format!("{}/version/format{format}/latest{suffix}", self.version)
    }

    pub(super) fn release(&self, version: u32, suffix: &str) -> String {
        format!("{}/{version}/Manifest.MoM{suffix}", self.content)
    }

    pub(super) fn manifest(&self, bundle: &BundleName, version: u32) -> String {
        format!("{}/{version}/Manifest.{bundle}.tar", self.content)
    }

    pub(super) fn pack(&self, bundle: &BundleName, version: u32) -> String {
        format!("{}/{version}/pack-{bundle}-from-0.tar", self.content)
    }

    pub(super) fn file(&self, hash: &ObjectHash, version: u32) -> String {
        format!("{}/{version}/files/{hash}.tar", self.content)
    }

    /// Opens a file as a stream, starting at byte `from`.
    pub(super) fn open(&self, url: &str, from: u64) -> Result<impl Read + Send + '_, FetchError> {
        Ok(Counted { download: self.download(url, from, self.retries)?, fetched: &self.fetched })
    }

    /// Opens a pack for download in a separate thread. It is retried at most once, because the installation can
    /// continue without it.
    pub(super) fn open_pack(&self, url: &str, from: u64) -> Result<Download, FetchError> {
        self.download(url, from, Retries { count: self.retries.count.min(1), ..self.retries })
    }

    fn download(&self, url: &str, from: u64, retries: Retries) -> Result<Download, FetchError> {
        let parsed = Source::url(url).map_err(FetchError::Failed)?;
        Download::begin(&self.http, &parsed, from, retries)
    }

    pub(super) fn count(&self, bytes: u64) {
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Fetches a file of at most `largest` bytes.
    pub(super) fn small(&self, url: &str, largest: u64) -> Result<Vec<u8>, FetchError> {
        let mut bytes = Vec::new();
        self.open(url, 0)?.take(largest + 1).read_to_end(&mut bytes).map_err(|error| {
            FetchError::Failed(inner(error, || format!("could not fetch `{}`", display_url(url))))
        })?;
        if bytes.len() as u64 > largest {
            return Err(FetchError::Failed(Failure::new(format!(
                "`{}` has more than {largest} bytes",
                display_url(url)
            ))));
        }
        Ok(bytes)
    }
}

/// Returns the failure inside a stream error, or a new one.
pub(super) fn inner(error: std::io::Error, message: impl FnOnce() -> String) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => Failure::new(message()).detail(error.to_string()),
    }
}

struct Counted<'s> {
    download: Download,
    fetched: &'s AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.download.read(buffer)?;
        self.fetched.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
