//! swupd content, inside the build's namespace.

use super::prepare::Ready;
use super::tree::Tree;
use crate::content::swupd::{Installed, Request, Trusted, Version};
use crate::host::{Chroot, Context, Failure, Progress, run};
use crate::plan::{Content, SwupdFormat};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Raised whenever the same bundles would give another tree.
const RECIPE: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SwupdRequest {
    /// Its version is a number.
    pub request: Request,
    /// As the template has it: a number, or "latest".
    pub release: String,
    /// `SOURCE_DATE_EPOCH`, if the user set it; else the release's own date counts.
    pub epoch: Option<u64>,
}

/// Where Clear has its certificate.
const CERTIFICATE: &str = "/usr/share/clear/update-ca/Swupd_Root.pem";
/// Where a host that uses swupd itself says where from. Source: swupd-client.
const DEFAULTS: &str = "/usr/share/defaults/swupd";

/// The certificate of a file, or the host's own.
pub fn swupd_trust(file: Option<&Path>) -> Result<Trusted, Failure> {
    if file.is_none() && !Path::new(CERTIFICATE).exists() {
        return Err(Failure::new("it is not said whose signature swupd content must have")
            .detail(format!("this host has no {CERTIFICATE}"))
            .help("name the certificate of whoever signs the content: -s FILE"));
    }
    Trusted::read(file.unwrap_or(Path::new(CERTIFICATE)))
}

/// What a plan's content is asked for with. Where nothing is said, the host's own settings count.
pub fn swupd_request(
    content: &Content,
    state: PathBuf,
    proxies: [Option<String>; 2],
) -> Result<Request, Failure> {
    let of_host = |name: &str| {
        let text = std::fs::read_to_string(Path::new(DEFAULTS).join(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let swupd = content.swupd.clone().unwrap_or_default();
    let content_url = content.archive.clone().or_else(|| of_host("contenturl")).ok_or_else(|| {
        Failure::new("it is not said where swupd content comes from")
            .detail(format!("this host has no {DEFAULTS}/contenturl"))
            .help("name a mix or mirror: -C URL; or build it with Debian content: --software-manager apt --set Version='\"bookworm\"'")
    })?;
    let format = swupd.format.or_else(|| of_host("format")).map(|text| SwupdFormat::parse(&text)).transpose();
    let format = format.map_err(|why| Failure::new(format!("the format of swupd's content: {why}")))?;
    let version = match content.release.as_str() {
        "latest" | "" => Version::Latest,
        number => Version::number(number).ok_or_else(|| {
            Failure::new(format!("`{number}` is no version of swupd content"))
                .help("`Version` is a number or \"latest\"")
        })?,
    };
    let [http_proxy, https_proxy] = proxies;
    Ok(Request {
        version_url: swupd.version_url.unwrap_or_else(|| content_url.clone()),
        content_url,
        version,
        format,
        bundles: content.bundles.clone(),
        skip_optional: swupd.skip_optional,
        trusted: match swupd.unsigned {
            true => Trusted::Anybody,
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
        let Request { version, format, bundles, skip_optional, trusted, content_url, .. } = &self.request;
        let mut bundles = bundles.clone();
        bundles.sort();
        // Whoever trusts a signer gets the same tree from every mirror.
        let mirror = (*trusted == Trusted::Anybody).then_some(content_url);
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

/// The dynamic linker's cache, where the content has what makes it and not the cache itself. Nothing else of upstream's
/// post-update steps is needed: what clr-boot-manager does for a new image, the loader's installation does.
fn library_cache(tree: &Tree, progress: &dyn Progress) -> Result<(), Failure> {
    let program = ["/usr/bin/ldconfig", "/usr/sbin/ldconfig"].into_iter().find(|path| tree.is_file(path));
    // Where Debian and where Clear has it.
    let there =
        ["/etc/ld.so.cache", "/var/cache/ldconfig/ld.so.cache"].into_iter().any(|path| tree.exists(path));
    let Some(program) = program.filter(|_| !there) else { return Ok(()) };
    progress.begin("making the cache of libraries");
    {
        let chroot = Chroot::enter(tree.path())?;
        if let Err(error) = run(&chroot.invocation(program)) {
            progress
                .warn(format!("the content's ldconfig failed: {}", Failure::from(error).details.join(": ")));
        }
    }
    // It has times of this run.
    tree.remove("/var/cache/ldconfig/aux-cache")
}
