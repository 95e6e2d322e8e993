//! swupd's content in a directory of the host: `ister swupd`. In the namespace an ordinary user can give files to any owner.

use super::Job;
use crate::content::swupd::{Request, Task};
use crate::host::{Failure, Progress, Worker};
use serde::Deserialize;
use std::path::Path;

/// Installs into `tree`, or compares with it; both paths are absolute. The answer is the task's.
pub fn swupd_in_namespace<A: for<'de> Deserialize<'de>>(
    request: &Request,
    task: Task,
    tree: &Path,
    progress: &dyn Progress,
) -> Result<A, Failure> {
    let job = Job::Swupd { request: Box::new(request.clone()), task, tree: tree.to_owned() };
    Worker::run(&job, &[], progress)
}

/// The inner side.
pub(super) fn work(
    request: &Request,
    task: &Task,
    tree: &Path,
    progress: &dyn Progress,
) -> Result<serde_json::Value, Failure> {
    let answer = match task {
        Task::Install => serde_json::to_value(request.install(tree, progress)?),
        Task::Verify { any_version, extra } => {
            serde_json::to_value(request.verify(tree, *any_version, extra.as_deref(), progress)?)
        }
    };
    Ok(answer.expect("an answer is plain data"))
}
