//! Inside the namespace.

use super::{AssembleJob, Assembled, Job};
use crate::content::{self, Tree};
use crate::customize;
use crate::image::{self, Assembly};
use crate::template::Bytes;
use crate::tool::{Context, Failure, Progress, Workspace, workspace_from_stdin};
use std::fs::File;
use std::os::fd::RawFd;

/// Room for a tree whose size is not known yet: mmdebstrap with a kernel and everything that apt needs.
const UNKNOWN_CONTENT: u64 = Bytes::GIB + Bytes::GIB / 2;

/// The program's other `main`: takes one job, does it, answers, ends.
pub fn work_inside() -> ! {
    let progress = Workspace::progress();
    match workspace_from_stdin::<Job>() {
        Ok(Job::Fill { workspace, request, out }) => Workspace::answer((|| {
            let workspace = Workspace::open(&workspace, UNKNOWN_CONTENT)?;
            content::fill(&request, &workspace.root, &reopen(out)?, &progress)
        })()),
        Ok(Job::Assemble(job)) => Workspace::answer(assemble(&job, &progress)),
        Err(failure) => Workspace::answer::<()>(Err(failure)),
    }
}

fn assemble(job: &AssembleJob, progress: &dyn Progress) -> Result<Assembled, Failure> {
    let workspace = Workspace::open(&job.workspace, job.content_size + 128 * Bytes::MIB)?;
    progress.begin("unpacking the content");
    let root = workspace.root.join("tree");
    std::fs::create_dir(&root).context(|| format!("could not create `{}`", root.display()))?;
    if !content::unpack(&reopen(job.content)?, &job.content_hash, &root)? {
        return Ok(Assembled::ContentDamaged);
    }
    let tree = Tree::open(&root)?;
    progress.begin("customising");
    customize::create_users(&tree, &job.plan.system.users, &job.hashes)?;
    customize::write_files(&tree, &job.plan.system)?;
    image::install_loader(&job.plan, &tree)?;
    customize::post_hooks(&job.plan.hooks, &root, progress)?;
    image::assemble(
        &Assembly {
            plan: &job.plan,
            tree: &root,
            workspace: &workspace.root,
            image: &reopen(job.image)?,
            inherited: job.image,
            epoch: job.epoch,
        },
        progress,
    )?;
    Ok(Assembled::Done)
}

/// An inherited file as a value of our own: opened again through /proc, since a bare number can be anybody's.
fn reopen(number: RawFd) -> Result<File, Failure> {
    let path = format!("/proc/self/fd/{number}");
    let writable = File::options().read(true).write(true).open(&path);
    writable.or_else(|_| File::open(&path)).context(|| format!("could not open the inherited file {number}"))
}
