//! The content of an image: cached or downloaded.

use super::super::Job;
use super::BuildOptions;
use crate::content::swupd::Version;
use crate::content::{
    self, AptRequest, Cache, CacheEntry, ContentRequest, DnfRequest, Metadata, SwupdRequest,
};
use crate::host::{AtomicFile, Context, Event, Failure, Progress, Worker, has_workspaces};
use crate::plan::{self, Plan};
use crate::template::{Bytes, SoftwareManager};
use std::path::Path;

/// Removes files that killed builds left in the cache's workspace directory. Builds use it only if memory is short.
pub fn sweep(cache: &Cache) -> Result<(), Failure> {
    let workspace = cache.workspace();
    if has_workspaces(&workspace) {
        Worker::run::<usize>(&Job::Sweep { workspace }, &[], &|_: Event| {})?;
    }
    Ok(())
}

pub(super) fn content_request(
    options: &BuildOptions,
    content: &plan::Content,
    progress: &dyn Progress,
) -> Result<ContentRequest, Failure> {
    if content.manager == SoftwareManager::Swupd {
        let proxies = [options.secrets.http_proxy.clone(), options.secrets.https_proxy.clone()];
        let mut request = content::swupd_request(content, options.cache.swupd_state(), proxies)?;
        if request.version == Version::Latest {
            progress.begin("determining the latest version");
            request.version = Version::Number(request.resolve(progress)?);
        }
        let release = content.release.clone();
        return Ok(ContentRequest::Swupd(SwupdRequest { request, release, epoch: options.epoch }));
    }
    if content.manager == SoftwareManager::Dnf {
        let configuration = match &content.configuration {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .context(|| format!("could not read the dnf configuration `{path}`"))?;
                Some((std::path::absolute(path).unwrap_or_else(|_| path.into()), text))
            }
            None => None,
        };
        let mut places: Vec<String> = content.archive.iter().cloned().collect();
        places.extend(configuration.iter().flat_map(|(_, text)| content::base_urls(text, &content.release)));
        return Ok(ContentRequest::Dnf(DnfRequest {
            local_indexes: content::local_indexes(&places),
            release: content.release.clone(),
            packages: content.packages.clone(),
            repository: content.archive.clone(),
            configuration,
            keyring: content::keyring(content)?,
            epoch: options.epoch,
            environment: options.secrets.proxy_variables(),
        }));
    }
    let sources = content::sources_for(content)?;
    Ok(ContentRequest::Apt(AptRequest {
        local_indexes: content::local_indexes(&sources),
        suite: content.release.clone(),
        // The proxies of the template override those of the host: the last setting counts.
        apt_options: content::apt_options()?.into_iter().chain(options.secrets.apt_proxies()).collect(),
        sources,
        packages: content.packages.clone(),
        epoch: options.epoch,
        keyring: content::keyring(content)?,
    }))
}

/// Returns the cache entry of the content, downloading it if necessary. The second value is true if it was
/// downloaded.
pub(super) fn content(
    options: &BuildOptions,
    request: &ContentRequest,
    refresh: bool,
    progress: &dyn Progress,
) -> Result<(CacheEntry, bool), Failure> {
    let key = request.key();
    let cache = options.cache;
    if !refresh && let Some(entry) = cache.find(&key) {
        return Ok((entry, false));
    }
    let mut waited = false;
    let filling = cache.fill(&key, || {
        waited = true;
        progress.begin("waiting for another build that downloads the same content");
    })?;
    // The other build has just downloaded it.
    if (!refresh || waited)
        && let Some(entry) = cache.find(&key)
    {
        return Ok((entry, false));
    }
    let size = request.size(progress)?;
    let job = Job::Fill { workspace: cache.workspace(), request: Box::new(request.clone()), size };
    let metadata: Metadata = Worker::run(&job, &[&filling.draft.file], progress)?;
    filling.finish(&metadata)?;
    let entry = cache.find(&key).ok_or_else(|| {
        Failure::new(format!("the cache entry `{key}` disappeared after it was written"))
            .help("run the command again; another process may have emptied the cache")
    })?;
    Ok((entry, true))
}

/// Checks that the image fits on the host's disk. It needs about the space of the content of all its filesystems.
pub(super) fn check_free_space(
    image: &AtomicFile,
    plan: &Plan,
    content: &Metadata,
    directory: &Path,
) -> Result<(), Failure> {
    let Ok(disk) = rustix::fs::fstatvfs(&image.file) else { return Ok(()) };
    let have = Bytes(disk.f_bavail * disk.f_frsize);
    let held: u64 = plan.partitions().filter_map(|(_, p)| Some(p.space?.holds?.0)).sum();
    let need = Bytes(held.max(content.size));
    if need.0 <= have.0 {
        return Ok(());
    }
    Err(Failure::new(format!("not enough space for the image in `{}`", directory.display()))
        .detail(format!("about {need} needed, {have} free"))
        .help("free some space, or choose another directory with -o"))
}

pub(super) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
