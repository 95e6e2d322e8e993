//! Installs swupd content inside the build namespace.

use super::prepare::Ready;
use super::tree::Tree;
use crate::content::swupd::{InstallRequest, Installed, Trusted, Version};
use crate::host::{Chroot, Context, Failure, Progress, run};
use crate::plan::{Content, SwupdFormat};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the installation steps. Increment it whenever the same bundles result in a different tree.
const RECIPE: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SwupdRequest {
    /// The request, with the version resolved to a number.
    pub request: InstallRequest,
    /// The version as written in the template: a number or "latest".
    pub release: String,
    /// `SOURCE_DATE_EPOCH` if the user set it; otherwise the date of the release is used.
    pub epoch: Option<u64>,
}

/// Certificate of Clear Linux OS.
const CERTIFICATE: &str = "/usr/share/clear/update-ca/Swupd_Root.pem";
/// Default URLs and format on hosts that use swupd. Source: swupd-client.
const DEFAULTS: &str = "/usr/share/defaults/swupd";

/// Reads the certificate from `file`, or from the host if no file is given.
pub fn swupd_trust(file: Option<&Path>) -> Result<Trusted, Failure> {
    if file.is_none() && !Path::new(CERTIFICATE).exists() {
        return Err(Failure::new("no certificate configured for swupd content")
            .detail(format!("`{CERTIFICATE}` does not exist"))
            .help("specify the publisher's certificate with -s FILE"));
    }
    Trusted::read(file.unwrap_or(Path::new(CERTIFICATE)))
}

/// Creates the request for the content of a plan. Missing settings are taken from the swupd defaults of the host.
pub fn swupd_request(
    content: &Content,
    state: PathBuf,
    proxies: [Option<String>; 2],
) -> Result<InstallRequest, Failure> {
    let of_host = |name: &str| {
        let text = std::fs::read_to_string(Path::new(DEFAULTS).join(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let swupd = content.swupd.clone().unwrap_or_default();
    let content_url = content.archive.clone().or_else(|| of_host("contenturl")).ok_or_else(|| {
        Failure::new("no content URL configured for swupd")
            .detail(format!("`{DEFAULTS}/contenturl` does not exist"))
            .help("specify a mix or mirror with -C URL, or build with Debian content: --software-manager apt --set Version='\"bookworm\"'")
    })?;
    let format = swupd.format.or_else(|| of_host("format")).map(|text| SwupdFormat::parse(&text)).transpose();
    let format = format.map_err(|why| Failure::new(format!("invalid swupd format: {why}")))?;
    let version = match content.release.as_str() {
        "latest" | "" => Version::Latest,
        number => Version::number(number).ok_or_else(|| {
            Failure::new(format!("invalid swupd version `{number}`"))
                .help("set `Version` to a number or \"latest\"")
        })?,
    };
    let [http_proxy, https_proxy] = proxies;
    Ok(InstallRequest {
        version_url: swupd.version_url.unwrap_or_else(|| content_url.clone()),
        content_url,
        version,
        format,
        bundles: content.bundles.clone(),
        skip_optional: swupd.skip_optional,
        trusted: match swupd.unsigned {
            true => Trusted::Unverified,
            false => swupd_trust(content.keyring.as_deref().map(Path::new))?,
        },
        state,
        http_proxy,
        https_proxy,
        retries: None,
    })
}

impl SwupdRequest {
    pub(super) fn identity(&self) -> String {
        let InstallRequest { version, format, bundles, skip_optional, trusted, content_url, .. } =
            &self.request;
        let mut bundles = bundles.clone();
        bundles.sort();
        // With verified signatures, every mirror provides the same tree, so the mirror is not part of the identity.
        let mirror = (*trusted == Trusted::Unverified).then_some(content_url);
        let parts = ("swupd", RECIPE, version, format, bundles, skip_optional, trusted, mirror, self.epoch);
        serde_json::to_string(&parts).expect("a request is plain data")
    }

    pub(super) fn version(&self) -> String {
        match self.request.version {
            Version::Number(number) => number.to_string(),
            Version::Latest => "latest".to_owned(),
        }
    }

    pub(super) fn fill(&self, target: &Path, progress: &dyn Progress) -> Result<(Ready, Installed), Failure> {
        std::fs::create_dir(target).context(|| format!("could not create `{}`", target.display()))?;
        let installed = self.request.install(target, progress)?;
        let tree = Tree::open(target)?;
        library_cache(&tree, progress)?;
        Ok((Ready { epoch: self.epoch.unwrap_or(installed.timestamp) }, installed))
    }
}

/// Generates the cache of the dynamic linker if the content contains ldconfig but no cache. Other post-update steps of
/// upstream are not needed: installing the boot loader replaces what clr-boot-manager does for a new image.
fn library_cache(tree: &Tree, progress: &dyn Progress) -> Result<(), Failure> {
    let program = ["/usr/bin/ldconfig", "/usr/sbin/ldconfig"].into_iter().find(|path| tree.is_file(path));
    // The paths used by Debian and Clear Linux OS.
    let there =
        ["/etc/ld.so.cache", "/var/cache/ldconfig/ld.so.cache"].into_iter().any(|path| tree.exists(path));
    let Some(program) = program.filter(|_| !there) else { return Ok(()) };
    progress.begin("generating the dynamic linker cache");
    {
        let chroot = Chroot::enter(tree.path())?;
        if let Err(error) = run(&chroot.invocation(program)) {
            progress
                .warn(format!("ldconfig failed in the image: {}", Failure::from(error).details.join(": ")));
        }
    }
    // This file contains timestamps of this run.
    tree.remove("/var/cache/ldconfig/aux-cache")
}
