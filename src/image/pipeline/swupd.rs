//! `ister swupd`: swupd content in a directory of the host. In the namespace, an unprivileged user can create files
//! of any owner.

use super::Job;
use crate::content::swupd::{InstallRequest, Task};
use crate::host::{Failure, Progress, Worker};
use serde::Deserialize;
use std::path::Path;

/// Runs a task on `tree` in the sandbox and returns its result. The paths of the request and `tree` are absolute.
pub fn swupd_in_namespace<A: for<'de> Deserialize<'de>>(
    request: &InstallRequest,
    task: Task,
    tree: &Path,
    progress: &dyn Progress,
) -> Result<A, Failure> {
    let job = Job::Swupd { request: Box::new(request.clone()), task, tree: tree.to_owned() };
    Worker::run(&job, &[], progress)
}

/// The part that runs in the sandbox.
pub(super) fn work(
    request: &InstallRequest,
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
    Ok(answer.expect("results are serializable"))
}
