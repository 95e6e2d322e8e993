//! Outside the namespace: cache, destination, order of work.

use super::{AssembleJob, Assembled, Job};
use crate::content::{self, Cache, ContentRequest, Entry, Metadata};
use crate::customize;
use crate::plan::{Plan, Secrets};
use crate::template::{Bytes, SecretSource, is_crypt_hash};
use crate::tool::{Context, Draft, Durability, Event, Failure, Progress, Worker, has_workspaces};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What to build, and where.
pub struct Order<'a> {
    pub plan: &'a Plan,
    pub secrets: &'a Secrets,
    /// The folder that image and plan go into; it is created if need be.
    pub folder: &'a Path,
    pub cache: &'a Cache,
    /// Fetch content anew, though the cache has it.
    pub refresh: bool,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<u64>,
}

/// What was built.
pub struct Built {
    pub image: PathBuf,
    pub plan: PathBuf,
    /// Bytes that the image takes on the disk.
    pub allocated: Bytes,
    /// How old the content is that came from the cache, in seconds; nothing if it was fetched now.
    pub content_age: Option<u64>,
    pub content: Metadata,
}

pub fn build(order: &Order, progress: &dyn Progress) -> Result<Built, Failure> {
    let plan = order.plan;
    std::fs::create_dir_all(order.folder)
        .context(|| format!("could not create the folder `{}`", order.folder.display()))?;
    let image = order.folder.join(&plan.image);
    if image.is_dir() {
        return Err(Failure::new(format!(
            "`{}` is a folder: the image cannot take its place",
            image.display()
        ))
        .help("choose another folder with -o"));
    }
    let plan_path = order.folder.join(format!("{}.plan.json", plan.image));
    if plan_path.is_dir() {
        return Err(Failure::new(format!(
            "`{}` is a folder: the plan cannot take its place",
            plan_path.display()
        ))
        .help("choose another folder with -o"));
    }
    check_ids(plan)?;
    let hashes = resolve(order.secrets)?;
    customize::pre_install(&plan.hooks, progress)?;

    let request = content_request(order)?;
    // Before the content: a folder that cannot be written to is known at once.
    let mut draft = Draft::begin(&image)?;
    let (mut entry, mut fresh) = content(order, &request, order.refresh, progress)?;
    check_free_space(&draft, &entry.metadata, order.folder)?;
    loop {
        let job = Job::Assemble(Box::new(AssembleJob {
            workspace: order.cache.workspace(),
            plan: plan.clone(),
            hashes: hashes.clone(),
            content_size: entry.metadata.size,
            content_hash: entry.metadata.hash.clone(),
            epoch: entry.metadata.epoch,
        }));
        if Worker::run::<Assembled>(&job, &[&entry.file, &draft.file], progress)? == Assembled::Done {
            break;
        }
        if fresh {
            return Err(Failure::new(
                "the content that was just cached does not read back as it was written",
            )
            .detail(format!("cache: {}", order.cache.folder().display()))
            .help("the disk of the cache may be failing; choose another with --cache-dir"));
        }
        progress.warn(format!("the cached content `{}` is damaged; fetching it again", entry.key));
        order.cache.forget(&entry.key);
        (entry, fresh) = content(order, &request, true, progress)?;
        draft = Draft::begin(&image)?;
    }
    let allocated = draft.file.metadata().map_or(0, |m| m.blocks() * 512);

    let mut plan_draft = Draft::begin(&plan_path)?;
    let text = serde_json::to_string_pretty(plan).expect("a plan is plain data") + "\n";
    plan_draft
        .file
        .write_all(text.as_bytes())
        .context(|| format!("could not write `{}`", plan_path.display()))?;
    progress.begin("writing to disk");
    // A receipt speaks of one image only, and that one goes now.
    let receipt = order.folder.join(format!("{}.receipt.json", plan.image));
    match std::fs::remove_file(&receipt) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error)
                .context(|| format!("could not remove the old receipt `{}`", receipt.display()));
        }
        _ => {}
    }
    draft.publish(Durability::Synced)?;
    plan_draft.publish(Durability::Synced)?;
    Ok(Built {
        image,
        plan: plan_path,
        allocated: Bytes(allocated),
        content_age: (!fresh).then(|| now().saturating_sub(entry.metadata.created)),
        content: entry.metadata,
    })
}

/// Ids that cannot be given away here, before anything is fetched.
fn check_ids(plan: &Plan) -> Result<(), Failure> {
    for user in &plan.system.users {
        let Some(uid) = user.uid else { continue };
        if uid == u32::MAX {
            return Err(Failure::new(format!("user `{}` cannot have uid {uid}", user.name))
                .detail("the kernel takes it for \"leave the owner as it is\", see chown(2)")
                .help("choose a smaller uid"));
        }
        if uid > 65_535 && !rustix::process::geteuid().is_root() {
            return Err(Failure::new(format!(
                "an ordinary user cannot give files to uid {uid} of user `{}`",
                user.name
            ))
            .detail("a build by an ordinary user knows the ids 0 to 65535, from its sub-id range")
            .help("choose a smaller uid, or run ister as root"));
        }
    }
    Ok(())
}

/// Removes what killed builds left in the cache's workspace folder; only where memory was short is there anything.
pub fn sweep(cache: &Cache) -> Result<(), Failure> {
    let workspace = cache.workspace();
    if has_workspaces(&workspace) {
        Worker::run::<usize>(&Job::Sweep { workspace }, &[], &|_: Event| {})?;
    }
    Ok(())
}

fn content_request(order: &Order) -> Result<ContentRequest, Failure> {
    let content = &order.plan.content;
    Ok(ContentRequest {
        suite: content.release.clone(),
        sources: content::sources_for(&content.release, content.archive.as_deref())?,
        packages: content.packages.clone(),
        epoch: order.epoch,
        // The template's proxies after the host's: the last setting counts.
        apt_options: content::apt_options()?.into_iter().chain(order.secrets.apt_proxies()).collect(),
    })
}

/// From the cache, or into it. The second value tells whether it was fetched now.
fn content(
    order: &Order,
    request: &ContentRequest,
    refresh: bool,
    progress: &dyn Progress,
) -> Result<(Entry, bool), Failure> {
    let key = request.key();
    let cache = order.cache;
    if !refresh && let Some(entry) = cache.find(&key) {
        return Ok((entry, false));
    }
    let mut waited = false;
    let filling = cache.fill(&key, || {
        waited = true;
        progress.begin("waiting for another build that fetches the same content");
    })?;
    // The one that was waited for has just fetched it.
    if (!refresh || waited)
        && let Some(entry) = cache.find(&key)
    {
        return Ok((entry, false));
    }
    let job = Job::Fill { workspace: cache.workspace(), request: request.clone() };
    let metadata: Metadata = Worker::run(&job, &[&filling.draft.file], progress)?;
    filling.finish(&metadata)?;
    let entry = cache.find(&key).ok_or_else(|| {
        Failure::new(format!("the content that was just cached is gone: {key}"))
            .help("another process may have emptied the cache; try again")
    })?;
    Ok((entry, true))
}

/// The tree's bytes reach the image nearly one to one.
fn check_free_space(draft: &Draft, content: &Metadata, folder: &Path) -> Result<(), Failure> {
    let Ok(disk) = rustix::fs::fstatvfs(&draft.file) else { return Ok(()) };
    let have = Bytes(disk.f_bavail * disk.f_frsize);
    let need = Bytes(content.size);
    if need.0 <= have.0 {
        return Ok(());
    }
    Err(Failure::new(format!("there is not enough space for the image in `{}`", folder.display()))
        .detail(format!("about {need} are needed, {have} are free"))
        .help("free some space, or choose another folder with -o"))
}

fn resolve(secrets: &Secrets) -> Result<BTreeMap<String, String>, Failure> {
    let mut hashes = BTreeMap::new();
    for (user, source) in &secrets.passwords {
        let hash = match source {
            SecretSource::Inline(hash) => hash.clone(),
            SecretSource::File(path) => std::fs::read_to_string(path)
                .context(|| format!("could not read the password file `{path}` of user `{user}`"))?
                .trim()
                .to_owned(),
            SecretSource::Env(name) => std::env::var(name).map_err(|_| {
                Failure::new(format!("the password of user `{user}` comes from ${name}, which is not set"))
                    .help(format!("export {name} with a crypt(3) hash"))
            })?,
        };
        if hash.is_empty() || !is_crypt_hash(&hash) {
            return Err(Failure::new(format!("the password of user `{user}` is no crypt(3) hash"))
                .help("make one with `openssl passwd -6` or `mkpasswd`"));
        }
        hashes.insert(user.clone(), hash);
    }
    Ok(hashes)
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
