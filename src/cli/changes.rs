//! Options that override the template, and options for the content source.

use crate::plan::layout::SectorSize;
use crate::plan::{Origin, SwupdContent, SwupdFormat};
use crate::template::{Bytes, Override};
use clap::Args;
use std::path::PathBuf;

/// Options that override the template, and options for the content source.
#[derive(Args, Clone, Debug)]
pub(super) struct ChangeArgs {
    /// Override a top-level key, for example Version='"bookworm"'
    #[arg(long, value_name = "KEY=JSON")]
    pub(super) set: Vec<Override>,

    /// Package manager that installs the content: swupd, apt or dnf
    #[arg(long, value_name = "MANAGER")]
    pub(super) software_manager: Option<String>,

    /// Size of a virtual disk whose last partition has the size "rest", or of a
    /// physical disk that is not in this machine
    #[arg(long, value_name = "SIZE")]
    pub(super) disk_size: Option<String>,

    /// Archive or mirror to install from, instead of the host's own sources; an
    /// http, https or file URL
    #[arg(short = 'C', long = "contenturl", value_name = "URL", value_parser = archive_url)]
    pub(super) archive: Option<String>,

    /// Components of the archive's suite, for apt [default: main]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = component)]
    pub(super) components: Vec<String>,

    /// Additional package source for apt, a line as in sources.list:
    /// 'deb [trusted=yes] file:/srv/repo stable main'
    #[arg(long, value_name = "LINE", value_parser = source_line)]
    pub(super) source: Vec<String>,

    /// Keyring (apt) or certificate (swupd) that signatures of the content are
    /// checked with [default: what the host trusts]
    #[arg(short = 's', long = "cert-file", visible_alias = "keyring", value_name = "FILE")]
    pub(super) keyring: Option<String>,

    /// URL that swupd queries for the latest version [default: the content URL];
    /// ignored with apt and dnf
    #[arg(short = 'V', long, value_name = "URL", value_parser = archive_url)]
    pub(super) versionurl: Option<String>,

    /// Format of the swupd content, a number or `staging`; ignored with apt and
    /// dnf
    #[arg(short = 'f', long, value_name = "NUMBER", value_parser = swupd_format)]
    pub(super) swupd_format: Option<String>,

    /// Do not install the optional bundles of swupd bundles
    #[arg(long)]
    pub(super) skip_optional: bool,

    /// Do not check the signature of swupd content. An untrusted mirror or
    /// network can then modify the image
    #[arg(long, visible_alias = "nosigcheck", conflicts_with = "keyring")]
    pub(super) no_sigcheck: bool,

    /// Configuration file for dnf
    #[arg(short = 'd', long, value_name = "FILE")]
    pub(super) dnf_config: Option<String>,

    /// Directory with bundle definitions, which take precedence over the built-in
    /// ones
    #[arg(long, value_name = "DIR")]
    pub(super) bundles: Option<PathBuf>,

    /// Sector size of the image, 512 or 4096; physical disks use their own
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = sector_size)]
    pub(super) sector_size: SectorSize,

    /// Derive identifiers and all other random values from this text. For tests
    /// only: anyone with the seed can unlock encrypted volumes
    #[arg(long, value_name = "TEXT")]
    pub(super) seed: Option<String>,

    #[arg(skip)]
    pub(super) image_size: Option<Bytes>,
}

fn sector_size(text: &str) -> Result<SectorSize, String> {
    let bytes: u64 = text.parse().map_err(|_| "expected 512 or 4096".to_owned())?;
    SectorSize::try_from(bytes)
}

fn archive_url(text: &str) -> Result<String, String> {
    if text.contains(char::is_whitespace) {
        return Err("a URL must not contain white space".to_owned());
    }
    let url = url::Url::parse(text).map_err(|error| format!("{error}; expected http://HOST/PATH"))?;
    if !matches!(url.scheme(), "http" | "https" | "file") {
        return Err(format!("`{}` archives are not supported; use http, https or file", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a user name or password in the URL would end up in the image; use apt's auth.conf.d instead"
                .into(),
        );
    }
    Ok(text.to_owned())
}

fn swupd_format(text: &str) -> Result<String, String> {
    SwupdFormat::parse(text).map(|_| text.to_owned())
}

fn component(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+/".contains(c);
    if text.is_empty() || !text.chars().all(plain) {
        return Err("expected a name such as main or non-free-firmware".to_owned());
    }
    Ok(text.to_owned())
}

/// A one-line source. Source: sources.list(5), "One-line-style format".
fn source_line(text: &str) -> Result<String, String> {
    let rest =
        text.strip_prefix("deb ").ok_or("expected `deb [OPTIONS] URL SUITE COMPONENTS…`")?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']').ok_or("missing `]` after the options")?.1.trim_start(),
        None => rest,
    };
    let mut words = rest.split_whitespace();
    archive_url(words.next().ok_or("missing URL")?)?;
    let suite = words.next().ok_or("missing suite")?;
    if !suite.ends_with('/') && words.next().is_none() {
        return Err("missing components".to_owned());
    }
    if text.contains(['\n', '\r']) {
        return Err("expected a single line".to_owned());
    }
    Ok(text.to_owned())
}

impl ChangeArgs {
    /// Whether any of these options is set.
    pub(super) fn is_any(&self) -> bool {
        !self.set.is_empty()
            || self.software_manager.is_some()
            || self.disk_size.is_some()
            || self.origin() != Origin::default()
            || self.bundles.is_some()
            || self.seed.is_some()
    }

    /// The options that apply to templates embedded in an installer: the content source, but no overrides.
    pub(super) fn for_embedded(&self) -> ChangeArgs {
        ChangeArgs { set: Vec::new(), disk_size: None, image_size: None, ..self.clone() }
    }

    pub(super) fn origin(&self) -> Origin {
        Origin {
            archive: self.archive.clone(),
            components: self.components.clone(),
            sources: self.source.clone(),
            keyring: self.keyring.clone(),
            configuration: self.dnf_config.clone(),
            swupd: SwupdContent {
                version_url: self.versionurl.clone(),
                format: self.swupd_format.clone(),
                skip_optional: self.skip_optional,
                unsigned: self.no_sigcheck,
            },
        }
    }

    /// Uses the sector size and, for partitions of size "rest", the total size of an existing image.
    pub(super) fn fit_image(&mut self, size: u64, sector_size: SectorSize) {
        self.sector_size = sector_size;
        if self.disk_size.is_none() {
            self.image_size = Some(Bytes(size));
        }
    }
}
