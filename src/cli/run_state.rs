//! The state of a test run, in `results.json`, which is rewritten after each type.

use crate::host::{Context, Failure, Lock, Progress, try_lock, write_whole};
use crate::imagetest::{RESULTS_VERSION, Record, Results, Shard, StepOutcome, TestRun};
use anyhow::bail;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// The lock file. It is never removed, because another process could hold a lock on the removed file.
const LOCK: &str = ".ister-test.lock";

/// A lock on a results directory. It also protects against a requeued job whose old instance is still running.
pub(super) struct Claim {
    directory: PathBuf,
    _lock: File,
}

impl Claim {
    pub(super) fn of(directory: &Path) -> Result<Claim, Failure> {
        let path = directory.join(LOCK);
        // Network filesystems need a file that is open for writing. If another user owns it, open it read-only.
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.or_else(|error| File::open(&path).map_err(|_| error));
        let file = file.context(|| format!("could not write to `{}`", path.display()))?;
        match try_lock(&file).context(|| format!("could not lock `{}`", path.display()))? {
            Lock::Theirs => {
                Err(Failure::new(format!("`{}` is in use by another `ister test`", directory.display()))
                    .help("wait until it has finished, or use another directory with -o"))
            }
            Lock::Ours | Lock::Unknown => Ok(Claim { directory: directory.to_owned(), _lock: file }),
        }
    }

    fn results(&self) -> PathBuf {
        results_of(&self.directory)
    }
}

/// The results so far, in memory and in `results.json`.
pub(super) struct RunState {
    path: PathBuf,
    started: Instant,
    /// Seconds that earlier invocations of the same run took.
    before: f64,
    results: Mutex<Results>,
    _claim: Claim,
}

impl RunState {
    /// Starts or resumes a run. Results of the same run are preserved, except for host errors, which are tried again.
    pub(super) fn begin(claim: Claim, run: TestRun, before: Option<Results>) -> anyhow::Result<RunState> {
        let path = claim.results();
        let mut results = Results { version: RESULTS_VERSION, run, types: Vec::new() };
        let seconds = before.as_ref().map_or(0.0, |before| before.run.seconds);
        if let Some(before) = before {
            // Results are only valid for one commit and one shard.
            let (was, is) = (&before.run.revision, &results.run.revision);
            if was != is || before.run.shard != results.run.shard {
                let shard =
                    |shard: Option<Shard>| shard.map_or("all types".to_owned(), |s| format!("shard {s}"));
                let commit =
                    |commit: &Option<String>| commit.clone().unwrap_or_else(|| "no commit".to_owned());
                bail!(
                    "`{}` has results of the same run for {} at {}, but this is {} at {}; use another --run, or another directory with -o",
                    path.display(),
                    shard(before.run.shard),
                    commit(was),
                    shard(results.run.shard),
                    commit(is)
                );
            }
            results.types = before.types;
            results.run.started = before.run.started;
            results.run.seconds = seconds;
            // Types that were planned earlier, but not this time, still belong to the run.
            for (names, more) in
                [(&mut results.run.planned, before.run.planned), (&mut results.run.whole, before.run.whole)]
            {
                names.extend(more);
                names.sort();
                names.dedup();
            }
        }
        let state = RunState {
            path,
            started: Instant::now(),
            before: seconds,
            results: Mutex::new(results),
            _claim: claim,
        };
        state.save(&state.results.lock().unwrap_or_else(|e| e.into_inner()))?;
        Ok(state)
    }

    /// The finished results of earlier invocations.
    pub(super) fn kept(&self) -> Vec<Record> {
        let results = self.results.lock().unwrap_or_else(|e| e.into_inner());
        results.types.iter().filter(|record| is_finished(record)).cloned().collect()
    }

    /// The name of the run.
    pub(super) fn id(&self) -> String {
        self.results.lock().unwrap_or_else(|e| e.into_inner()).run.id.clone()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let results = self.results.lock().unwrap_or_else(|e| e.into_inner());
        results.types.iter().any(|record| record.kind == name && is_finished(record))
    }

    pub(super) fn add(&self, record: Record) -> Result<(), Failure> {
        let mut results = self.results.lock().unwrap_or_else(|e| e.into_inner());
        let before = results.types.iter().position(|before| before.kind == record.kind);
        let record = match before.map(|at| results.types.remove(at)) {
            Some(before) => record.after(&before),
            None => record,
        };
        results.types.push(record);
        results.types.sort_by(|a, b| a.kind.cmp(&b.kind));
        let seconds = self.before + self.started.elapsed().as_secs_f64();
        results.run.seconds = (seconds * 10.0).round() / 10.0;
        self.save(&results)
    }

    /// Replaces `results.json` atomically.
    fn save(&self, results: &Results) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(results).expect("results can be serialized") + "\n";
        write_whole(&self.path, text.as_bytes())
    }

    pub(super) fn into_results(self) -> Results {
        self.results.into_inner().unwrap_or_else(|e| e.into_inner())
    }
}

/// Whether the result is about the image. Host errors are not: the type is tested again.
fn is_finished(record: &Record) -> bool {
    record.outcome() != StepOutcome::Infrastructure
}

fn results_of(directory: &Path) -> PathBuf {
    directory.join("results.json")
}

/// The earlier results of a run that is resumed.
pub(super) fn begun(
    directory: &Path,
    run: Option<&str>,
    progress: &dyn Progress,
) -> Result<Option<Results>, Failure> {
    let path = results_of(directory);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(|| format!("could not read `{}`", path.display())),
    };
    match Results::parse(&text) {
        Ok(before) => Ok((run == Some(&before.run.id)).then_some(before)),
        Err(why) => {
            progress.warn(format!("`{}` is damaged ({why}); all types are tested again", path.display()));
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn passing_after_a_host_error_is_flaky() {
        let results = |outcome: &str, what: &str| {
            let step = json!({
                "kind": "build", "name": "build", "command": "", "outcome": outcome, "seconds": 1.0, "what": what, "lines": [],
            });
            let run = json!({ "id": "n", "started": "2026-01-01T00:00:00Z", "seconds": 1.0, "planned": [], "ister": "0" });
            let all = json!({ "version": RESULTS_VERSION, "run": run, "types": [{ "type": "kvm", "steps": [step] }] });
            Results::parse(&all.to_string()).unwrap()
        };
        let directory = tempfile::tempdir().unwrap();
        let before = results("infrastructure", "no space");
        let claim = Claim::of(directory.path()).unwrap();
        assert!(Claim::of(directory.path()).is_err());
        let state = RunState::begin(claim, before.run.clone(), Some(before)).unwrap();
        assert!(!state.has("kvm") && state.kept().is_empty());
        // Interrupt the run again before anything is tested.
        let written =
            Results::parse(&std::fs::read_to_string(results_of(directory.path())).unwrap()).unwrap();
        drop(state);
        let state = RunState::begin(Claim::of(directory.path()).unwrap(), written.run.clone(), Some(written))
            .unwrap();
        state.add(results("passed", "").types.remove(0)).unwrap();
        let record = state.into_results().types.remove(0);
        assert_eq!(
            (record.outcome(), &record.steps[0].earlier[..]),
            (StepOutcome::Flaky, &["no space".to_owned()][..])
        );
    }
}
