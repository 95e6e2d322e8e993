//! The part of a build that runs in the sandbox.

use super::{AssembleJob, Assembled, Job};
use crate::content::{self, Tree};
use crate::host::{Context, Failure, Progress, Workspace, sweep_workspaces, workspace_from_stdin};
use crate::image::customize;
use crate::image::{self, Assembly};
use crate::template::Bytes;
use std::fs::File;
use std::time::Duration;

/// Memory budget for a tree of unknown size: mmdebstrap with a kernel and everything that apt needs.
const UNKNOWN_CONTENT: u64 = Bytes::GIB + Bytes::GIB / 2;

/// Entry point of the sandbox process: runs one job, sends the result and exits.
pub fn run_in_sandbox() -> ! {
    let progress = Workspace::progress();
    let outcome = workspace_from_stdin::<Job>();
    match outcome.and_then(|(job, files)| run(&job, files, &progress)) {
        Ok(answer) => Workspace::answer(Ok(answer)),
        Err(failure) => Workspace::answer::<()>(Err(failure)),
    }
}

fn run(job: &Job, mut files: Vec<File>, progress: &dyn Progress) -> Result<serde_json::Value, Failure> {
    match (job, &files[..]) {
        (Job::Fill { workspace, request, size }, [out]) => {
            // Add space for directories, links and partially filled blocks.
            let need = size.map_or(UNKNOWN_CONTENT, |size| size + size / 4 + 64 * Bytes::MIB);
            let workspace = Workspace::open(workspace, need)?;
            let metadata = content::fill(request, &workspace.root, out, progress)?;
            Ok(serde_json::to_value(metadata).expect("metadata is serializable"))
        }
        (Job::Swupd { request, task, tree }, []) => super::swupd::work(request, task, tree, progress),
        (Job::Sweep { workspace }, []) => Ok(sweep_workspaces(workspace).into()),
        (Job::Assemble(job), [_, rest @ ..])
            if rest.len() == job.plan.disks.len() + job.embedded.len() + usize::from(job.pack_tree) =>
        {
            let content = files.remove(0);
            let mut disks = files;
            let mut embedded = disks.split_off(job.plan.disks.len());
            let packed = embedded.split_off(job.embedded.len());
            let assembled = assemble(job, content, &disks, embedded, packed.first(), progress)?;
            Ok(serde_json::to_value(assembled).expect("results are serializable"))
        }
        _ => Err(Failure::new("the sandbox received a wrong number of files; this is a bug in ister")),
    }
}

fn assemble(
    job: &AssembleJob,
    content: File,
    disks: &[File],
    embedded: Vec<File>,
    packed: Option<&File>,
    progress: &dyn Progress,
) -> Result<Assembled, Failure> {
    // XFS, btrfs and encrypted filesystems need the space twice: for the files and for the filesystem image.
    let more: u64 = job.embedded.iter().map(|embedded| embedded.metadata.size).sum();
    let need = 2 * (job.content_size + more) + 128 * Bytes::MIB;
    let workspace = Workspace::open(&job.workspace, need)?;
    progress.begin("unpacking the content");
    let root = workspace.root.join("tree");
    std::fs::create_dir(&root).context(|| format!("could not create `{}`", root.display()))?;
    if !content::unpack(&content, &job.content_hash, &root)? {
        return Ok(Assembled::ContentDamaged);
    }
    let tree = Tree::open(&root)?;
    progress.begin("customizing the tree");
    customize::create_users(&tree, &job.plan.system.users, &job.hashes)?;
    customize::write_files(&tree, &job.plan.system)?;
    customize::extend_initramfs(&tree, &job.plan.system, job.epoch)?;
    let kernels = image::install_loader(&job.plan, &tree)?;
    if let Some(mirror) = &job.plan.system.mirror {
        customize::set_mirror(&tree, &job.plan.content, mirror)?;
    }
    if let Some(data) = &job.user_data {
        let instance =
            format!("iid-{}", job.plan.disks.first().map_or_else(Default::default, |disk| disk.guid));
        customize::set_user_data(&tree, data, &instance, job.plan.system.hostname.as_deref())?;
    }
    if job.plan.system.installer.is_some() {
        progress.begin("embedding content in the installer");
        customize::add_installer(&tree)?;
        for (embedded, packed) in job.embedded.iter().zip(&embedded) {
            customize::carry(
                &tree,
                (&embedded.name, &embedded.text),
                (&embedded.key, &embedded.metadata),
                packed,
            )?;
        }
    }
    // Hooks can reach the open files of this process through /proc. Close those of the cache before hooks run.
    drop((content, embedded));
    let hooked = {
        let shown =
            job.shown_at.as_deref().map(|directory| customize::shown_at(&root, directory)).transpose()?;
        let path = shown.as_ref().and(job.shown_at.as_deref()).unwrap_or(&root);
        let time = Duration::from_secs(job.hook_seconds);
        let options = customize::HookOptions {
            programs_in: job.programs_in.as_deref(),
            epoch: job.epoch,
            time,
            watch: job.watch_hooks,
        };
        customize::post_hooks(&job.plan.hooks, path, &options, progress)
    };
    // Also after a failed hook, when the tree is most useful for debugging.
    if let Some(directory) = &job.keep_in {
        progress.begin("copying the tree for inspection");
        customize::keep_tree(&root, directory)?;
    }
    let hooks = hooked?;
    // Not all programs honor SOURCE_DATE_EPOCH.
    content::limit_password_days(&tree, job.epoch)?;
    image::finish_loader(&job.plan, &tree, &kernels)?;
    let inventory = content::inventory(&tree, &workspace.root)?;
    if let Some(packed) = packed {
        progress.begin("packing the tree");
        content::pack(&root, job.epoch, packed)?;
    }
    let assembly = Assembly {
        plan: &job.plan,
        tree: &root,
        workspace: &workspace.root,
        disks,
        epoch: job.epoch,
        passphrases: &job.passphrases,
        seed: job.seed.as_deref(),
    };
    image::assemble(&assembly, progress)?;
    Ok(Assembled::Done(inventory, hooks))
}
