//! Host side of a build: cache, destination and the sequence of steps.

mod request;

use super::secrets::{hashes, passphrases};
use super::{AssembleJob, Assembled, EmbeddedFile, Job};
use crate::content::provision::{self, Role};
use crate::content::{self, Cache, CacheEntry, ContentRequest, Inventory, Metadata, Package, cache_names};
use crate::host::{AtomicFile, Context, Durability, Failure, Progress, Worker};
use crate::image::customize::{self, HookFiles};
use crate::image::format::{self, Material};
use crate::image::newest_kernel;
use crate::plan::{self, ContentItem, Footprint, ItemKind, Plan, Published, Secrets};
use crate::template::{Bytes, Secret, SoftwareManager};
pub use request::sweep;
use request::{check_free_space, content, content_request, now};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a build writes its result.
pub enum Destination<'a> {
    /// An image file and its plan in this directory, which is created if necessary.
    Directory(&'a Path),
    /// Block devices, one for each disk of the plan. The plan itself is written to the directory.
    Devices { devices: Vec<File>, directory: &'a Path },
}

impl Destination<'_> {
    /// Returns the directory of everything that is not written to a device.
    pub fn directory(&self) -> &Path {
        match self {
            Destination::Directory(directory) | Destination::Devices { directory, .. } => directory,
        }
    }
}

/// Options of a build.
pub struct BuildOptions<'a> {
    pub secrets: &'a Secrets,
    pub destination: Destination<'a>,
    pub cache: &'a Cache,
    /// Download the content again even if it is cached.
    pub refresh: bool,
    /// Download nothing and use cached content, regardless of the mirror that it came from.
    pub offline: bool,
    /// Templates and content embedded in an installer.
    pub embedded: Vec<EmbeddedTemplate>,
    /// `SOURCE_DATE_EPOCH`.
    pub epoch: Option<u64>,
    /// `--seed`.
    pub seed: Option<&'a str>,
    /// Timeout of each hook.
    pub hook_time: Duration,
    /// Whether [`Built`] lists the files that each hook changed.
    pub watch_hooks: bool,
    /// Directory where hooks see the root tree.
    pub shown_at: Option<&'a Path>,
    /// Directory that receives a copy of the finished root tree.
    pub keep_in: Option<&'a Path>,
    /// Where relative paths of `PostNonChroot` start; `None` for the working directory.
    pub programs_in: Option<&'a Path>,
}

/// A template embedded in an installer, with the content that it installs.
pub struct EmbeddedTemplate {
    /// File name and text of the template.
    pub name: String,
    pub text: String,
    pub content: plan::Content,
}

/// Result of a build.
pub struct Built {
    /// The image file or the devices.
    pub disks: Vec<PathBuf>,
    pub plan: PathBuf,
    /// The published files (`Formats`).
    pub published: Vec<PathBuf>,
    /// Space that the image occupies on the host's disk.
    pub allocated: Bytes,
    /// Age of the cached content in seconds; `None` if it was just downloaded.
    pub content_age: Option<u64>,
    pub content: Metadata,
    /// The installed packages, including those installed by hooks.
    pub inventory: Inventory,
    /// Files changed by each hook, if [`BuildOptions::watch_hooks`] is set.
    pub hooks: Vec<HookFiles>,
    /// The role that the service in IsterCloudInitSvc assigned.
    pub role: Option<String>,
}

/// Content and secrets of a build: the result of all steps before the plan is final.
pub struct Prepared {
    /// `None` if the content cannot be downloaded again.
    request: Option<ContentRequest>,
    entry: CacheEntry,
    fresh: bool,
    embedded: Vec<CacheEntry>,
    hashes: BTreeMap<String, Secret>,
    passphrases: BTreeMap<String, Secret>,
    role: Option<Role>,
}

impl Prepared {
    /// Returns the passphrases of the encrypted volumes by mapping name.
    pub fn passphrases(&self) -> &BTreeMap<String, Secret> {
        &self.passphrases
    }

    /// Returns the sizes of the content, which the final plan depends on.
    pub fn footprint(&self) -> Result<Footprint, Failure> {
        let mut footprint = content::footprint(&self.entry.file)?;
        let copies = kernel_copies(&footprint);
        footprint.items.extend(copies);
        if !self.embedded.is_empty() {
            let program = std::env::current_exe().and_then(|path| path.metadata()).map_or(0, |m| m.len());
            let mut add =
                |path: String, bytes| footprint.items.push(ContentItem { path, bytes, kind: ItemKind::File });
            add("/usr/bin/ister".to_owned(), program);
            for entry in &self.embedded {
                add(format!("{}/{}", plan::INSTALLER_CACHE, cache_names(&entry.key).0), entry.metadata.size);
            }
        }
        Ok(footprint)
    }
}

/// Returns the files that installing the boot loader will add to the boot partition.
fn kernel_copies(footprint: &Footprint) -> Vec<ContentItem> {
    let list = |directory: &str| {
        let mut names: Vec<String> = footprint
            .items
            .iter()
            .filter_map(|item| {
                Some(item.path.strip_prefix(directory)?.strip_prefix('/')?.split('/').next()?.to_owned())
            })
            .collect();
        names.sort();
        names.dedup();
        names
    };
    let copies = newest_kernel(list).map(|kernel| kernel.copies).unwrap_or_default();
    let item = |(from, to): (String, String)| {
        let bytes = footprint.items.iter().find(|item| item.path == from)?.bytes;
        Some(ContentItem { path: to, bytes, kind: ItemKind::File })
    };
    copies.into_iter().filter_map(item).collect()
}

/// Runs `PreInstallShell`. This is the first step, so that the hook can free disks that are inspected later.
pub fn pre_install(draft: &Plan, hook_time: Duration, progress: &dyn Progress) -> Result<(), Failure> {
    customize::pre_install(&draft.hooks, hook_time, progress)
}

/// Does everything that is possible before the plan is final: checks the destination, requests the role and downloads
/// the content. `draft` is the plan as far as it can be computed without the content.
pub fn prepare(options: &BuildOptions, draft: &Plan, progress: &dyn Progress) -> Result<Prepared, Failure> {
    let directory = options.destination.directory();
    std::fs::create_dir_all(directory)
        .context(|| format!("could not create the directory `{}`", directory.display()))?;
    let image = draft.image().map(|name| (directory.join(name), "image"));
    for (path, what) in image.into_iter().chain([(plan_path(directory, draft), "plan")]) {
        if path.is_dir() {
            return Err(Failure::new(format!(
                "`{}` is a directory and cannot be replaced by the {what}",
                path.display()
            ))
            .help("choose another directory with -o"));
        }
        // Fail now if the directory is not writable.
        drop(AtomicFile::begin(&path)?);
    }
    check_ids(draft)?;
    let hashes = hashes(options.secrets)?;
    let passphrases = passphrases(options.secrets)?;
    let role = match &options.secrets.cloud_init_service {
        Some(service) => {
            progress.begin("requesting this machine's role");
            let role = provision::role(service)?;
            match &role {
                Some(role) => progress.note(format!("role: {}", role.name)),
                None => {
                    progress.warn("the service in IsterCloudInitSvc has no role for this machine: no cloud-init data is written")
                }
            }
            role
        }
        None => None,
    };
    let mut embedded = Vec::new();
    for template in &options.embedded {
        let request = content_request(options, &template.content, progress)?;
        embedded.push(content(options, &request, options.refresh, progress)?.0);
    }
    if options.offline {
        let wanted = &draft.content;
        let entry =
            options.cache.find_requested(&wanted.release, wanted.wanted(), None).ok_or_else(|| {
                Failure::new(format!(
                    "no cached content for {} {} with the same packages",
                    wanted.manager, wanted.release
                ))
                .detail(format!("cache: {}", options.cache.directory().display()))
                .help(
                    "build once without --offline; for an installer, embed the content with --carry TEMPLATE",
                )
            })?;
        return Ok(Prepared { request: None, entry, fresh: false, embedded, hashes, passphrases, role });
    }
    let request = content_request(options, &draft.content, progress)?;
    let (entry, fresh) = content(options, &request, options.refresh, progress)?;
    Ok(Prepared { request: Some(request), entry, fresh, embedded, hashes, passphrases, role })
}

/// Creates the job that the sandbox runs to assemble the disks.
fn assemble_job(options: &BuildOptions, plan: &Plan, prepared: &Prepared, pack_tree: bool) -> Job {
    let absolute =
        |path: Option<&Path>| path.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let embedded = options.embedded.iter().zip(&prepared.embedded).map(|(template, entry)| EmbeddedFile {
        name: template.name.clone(),
        text: template.text.clone(),
        key: entry.key.clone(),
        metadata: entry.metadata.clone(),
    });
    let content = &prepared.entry.metadata;
    Job::Assemble(Box::new(AssembleJob {
        workspace: options.cache.workspace(),
        plan: plan.clone(),
        hashes: prepared.hashes.clone(),
        passphrases: prepared.passphrases.clone(),
        content_size: content.size,
        content_hash: content.hash.clone(),
        epoch: content.epoch,
        seed: options.seed.map(str::to_owned),
        hook_seconds: options.hook_time.as_secs(),
        watch_hooks: options.watch_hooks,
        embedded: embedded.collect(),
        user_data: prepared.role.as_ref().map(|role| role.user_data.clone()),
        shown_at: absolute(options.shown_at),
        keep_in: absolute(options.keep_in),
        programs_in: absolute(options.programs_in),
        pack_tree,
    }))
}

/// Writes the published formats of an image to temporary files. `time` is in seconds since 1970.
fn publish(
    raw: &File,
    root: Option<&File>,
    plan: &Plan,
    time: u64,
    directory: &Path,
    progress: &dyn Progress,
) -> Result<Vec<(PathBuf, AtomicFile)>, Failure> {
    let Some(disk) = plan.disks.first() else { return Ok(Vec::new()) };
    let diskless = plan.diskless();
    let material = Material {
        raw,
        diskless: diskless.as_ref(),
        root,
        firmware: plan.boot.as_ref().map(|boot| boot.firmware),
        id: disk.guid,
        time,
        scratch: directory,
    };
    let mut published = Vec::new();
    for file in &plan.published {
        progress.begin(format!("publishing {}", file.name));
        let made = AtomicFile::begin(&directory.join(&file.name))?;
        if let Some(lost) = format::write(&material, file.format, &file.name, &made.file)? {
            progress.warn(format!("{}: {} cannot store {lost}", file.name, file.format));
        }
        published.push((directory.join(&file.name), made));
    }
    Ok(published)
}

fn sync_devices(destination: &Destination, plan: &Plan) -> Result<(), Failure> {
    let Destination::Devices { devices, .. } = destination else { return Ok(()) };
    for (device, disk) in devices.iter().zip(&plan.disks) {
        device.sync_all().context(|| format!("could not write to /dev/{}", disk.name))?;
    }
    Ok(())
}

/// Builds the image of a plan. The image stays unnamed until it is complete and then atomically replaces an older
/// one.
pub fn build(
    options: &BuildOptions,
    plan: &Plan,
    mut prepared: Prepared,
    progress: &dyn Progress,
) -> Result<Built, Failure> {
    let directory = options.destination.directory();
    let plan_path = plan_path(directory, plan);
    let image = plan.image().map(|name| directory.join(name));
    let mut output = image.as_deref().map(AtomicFile::begin).transpose()?;
    if let Some(output) = &output {
        check_free_space(output, plan, &prepared.entry.metadata, directory)?;
    }
    let begin_packed_tree = || -> Result<Option<File>, Failure> {
        if !plan.published.iter().any(Published::is_from_tree) {
            return Ok(None);
        }
        let file = tempfile::tempfile_in(directory);
        file.context(|| format!("could not create a temporary file in `{}`", directory.display())).map(Some)
    };
    let mut packed_tree = begin_packed_tree()?;
    let (inventory, hooks) = loop {
        let job = assemble_job(options, plan, &prepared, packed_tree.is_some());
        let Prepared { entry, embedded, .. } = &prepared;
        let mut files = vec![&entry.file];
        match (&options.destination, &output) {
            (Destination::Devices { devices, .. }, _) => files.extend(devices),
            (_, output) => files.extend(output.iter().map(|output| &output.file)),
        }
        files.extend(embedded.iter().map(|entry| &entry.file));
        files.extend(&packed_tree);
        if let Assembled::Done(inventory, hooks) = Worker::run::<Assembled>(&job, &files, progress)? {
            break (with_bundles(inventory, plan, &entry.metadata), hooks);
        }
        let Some(request) = prepared.request.as_ref().filter(|_| !prepared.fresh) else {
            return Err(Failure::new("the cached content is damaged although it was just downloaded")
                .detail(format!("cache: {}", options.cache.directory().display()))
                .help(
                    "check the disk of the cache for errors, or choose another directory with --cache-dir",
                ));
        };
        progress.warn(format!("the cached content `{}` is damaged; downloading it again", entry.key));
        options.cache.forget(&entry.key);
        (prepared.entry, prepared.fresh) = content(options, request, true, progress)?;
        output = image.as_deref().map(AtomicFile::begin).transpose()?;
        packed_tree = begin_packed_tree()?;
    };
    let allocated =
        output.as_ref().and_then(|output| output.file.metadata().ok()).map_or(0, |m| m.blocks() * 512);

    let Prepared { entry, fresh, role, .. } = prepared;
    let published = match &output {
        Some(output) => {
            publish(&output.file, packed_tree.as_ref(), plan, entry.metadata.epoch, directory, progress)?
        }
        None => Vec::new(),
    };
    let mut plan_file = AtomicFile::begin(&plan_path)?;
    let text = serde_json::to_string_pretty(plan).expect("a plan is serializable") + "\n";
    plan_file
        .file
        .write_all(text.as_bytes())
        .context(|| format!("could not write `{}`", plan_path.display()))?;
    progress.begin("writing to disk");
    sync_devices(&options.destination, plan)?;
    // These files describe the old image, which is replaced now.
    for suffix in [".receipt.json", ".spdx.json", ".cdx.json", ".packages"] {
        remove_stale(&sibling_path(directory, plan, suffix))?;
    }
    for file in &plan.published {
        remove_stale(&directory.join(format!("{}.receipt.json", file.name)))?;
    }
    if let Some(output) = output {
        output.publish(Durability::Synced)?;
    }
    let published = published.into_iter().map(|(path, output)| {
        output.publish(Durability::Synced)?;
        Ok(path)
    });
    let published = published.collect::<Result<Vec<_>, Failure>>()?;
    plan_file.publish(Durability::Synced)?;
    Ok(Built {
        disks: match image {
            Some(image) => vec![image],
            None => plan.disks.iter().map(|disk| Path::new("/dev").join(&disk.name)).collect(),
        },
        plan: plan_path,
        published,
        allocated: Bytes(allocated),
        content_age: (!fresh).then(|| now().saturating_sub(entry.metadata.created)),
        content: entry.metadata,
        inventory,
        hooks,
        role: role.map(|role| role.name),
    })
}

/// Lists the swupd bundles if the inventory of a package manager is empty.
fn with_bundles(mut inventory: Inventory, plan: &Plan, content: &Metadata) -> Inventory {
    if plan.content.manager != SoftwareManager::Swupd || !inventory.packages.is_empty() {
        return inventory;
    }
    "swupd".clone_into(&mut inventory.kind);
    inventory.packages = content
        .packages
        .iter()
        .map(|(name, version)| Package {
            name: name.clone(),
            version: version.clone(),
            architecture: content::architecture().to_owned(),
            source: (name.clone(), version.clone()),
            maintainer: None,
            homepage: None,
            license: None,
        })
        .collect();
    inventory
}

/// Returns a path in the directory, named after the image or the first device plus a suffix.
pub fn sibling_path(directory: &Path, plan: &Plan, suffix: &str) -> PathBuf {
    let name = plan.disks.first().map_or("disk", |disk| disk.name.as_str());
    directory.join(format!("{}{suffix}", name.replace('/', "-")))
}

fn plan_path(directory: &Path, plan: &Plan) -> PathBuf {
    sibling_path(directory, plan, ".plan.json")
}

fn remove_stale(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).context(|| format!("could not remove the old `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Checks, before anything is downloaded, that this host can assign the user ids of the plan.
fn check_ids(plan: &Plan) -> Result<(), Failure> {
    for user in &plan.system.users {
        let Some(uid) = user.uid else { continue };
        if uid == u32::MAX {
            return Err(Failure::new(format!("user `{}` cannot have uid {uid}", user.name))
                .of_template()
                .detail("this uid means \"do not change the owner\", see chown(2)")
                .help("choose a smaller uid"));
        }
        if uid > 65_535 && !rustix::process::geteuid().is_root() {
            return Err(Failure::new(format!(
                "an unprivileged user cannot create files of uid {uid} of user `{}`",
                user.name
            ))
            .detail("an unprivileged build can use the ids 0 to 65535, which are mapped to a range of subordinate IDs")
            .help("choose a smaller uid, or run ister as root"));
        }
    }
    Ok(())
}
