//! Runs the steps of a test. Each one is a command of this program.

use super::definition::ImageType;
use super::history::Baseline;
use super::limits::{Measured, measure};
use super::record::{BootRecord, FileRecord, Record, StepOutcome, StepRecord};
use super::seed::write_seed;
use super::steps::{Need, StepKind, TestStep, TypePaths, VISITOR, build_step, steps};
use super::update::fetch_newer_packages;
use crate::boot::{Outcome, Verdict};
use crate::host::{Context, Failure, Invocation, Progress, run_any_status};
use crate::plan::Plan;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

/// Builds a type, verifies its published files, and boots them on its machines. `more` contains further arguments for
/// the build, and `earlier` the results of earlier runs. Failures of the host are recorded too.
pub(crate) fn prove(
    kind: &ImageType,
    place: &TypePaths,
    more: &[String],
    earlier: &Baseline,
    progress: &dyn Progress,
) -> Record {
    let mut record =
        Record { kind: kind.name.clone(), steps: Vec::new(), files: Vec::new(), packages: BTreeMap::new() };
    let build = build_step(kind, place, more);
    let made = std::fs::create_dir_all(place.directory)
        .context(|| format!("could not create the directory `{}`", place.directory.display()));
    let (built, answer) = run_step(&kind.name, &build, made, progress);
    let is_good = built.outcome.is_good();
    record.steps.push(built);
    if !is_good {
        return record;
    }
    let plan = match read_build(kind, place, &answer, &mut record) {
        Ok(plan) => plan,
        Err(failure) => {
            progress.warn(format!("{}: {failure}", kind.name));
            record.steps[0].fails(StepOutcome::Infrastructure, &failure.to_string());
            return record;
        }
    };
    let steps = match steps(kind, &plan, place) {
        Ok(steps) => steps,
        Err(why) => {
            progress.warn(format!("{}: {why}", kind.name));
            let mut wrong = new_record(&kind.name, StepKind::Boot, "type.json");
            wrong.fails(StepOutcome::Failed, &why);
            record.steps.push(wrong);
            return record;
        }
    };
    let mut rejected = Vec::new();
    for step in &steps {
        let (taken, _) = run_step(&kind.name, step, Ok(()), progress);
        if !taken.outcome.is_good() {
            rejected.push(&step.file);
        }
        record.steps.push(taken);
        // A file that fails a check or a boot must not have a receipt from another boot.
        if rejected.contains(&&step.file) {
            let _ = std::fs::remove_file(place.directory.join(format!("{}.receipt.json", step.file)));
        }
    }
    if kind.definition.has_limits() {
        let step = limits(kind, &record, earlier);
        if !step.outcome.is_good() {
            progress.warn(format!("{}: {}: {}", kind.name, step.name, step.what));
        }
        record.steps.push(step);
    }
    record
}

/// Compares the results with the budget of the type and with earlier runs.
fn limits(kind: &ImageType, record: &Record, earlier: &Baseline) -> StepRecord {
    let all = measure(&kind.definition, record, earlier);
    let mut step = new_record(&kind.name, StepKind::Limits, "limits");
    let is_over = all.iter().any(|measured| measured.is_over_budget());
    (step.outcome, step.what) = if is_over {
        (StepOutcome::Failed, OVER_BUDGET.to_owned())
    } else if all.iter().any(|measured| measured.is_regression()) {
        (StepOutcome::Failed, REGRESSION.to_owned())
    } else {
        (StepOutcome::Passed, String::new())
    };
    // Without a failure, all values are of interest.
    let is_listed = |measured: &&Measured| {
        step.outcome.is_good() || measured.is_over_budget() || measured.is_regression()
    };
    step.lines = all.iter().filter(is_listed).map(ToString::to_string).collect();
    step
}

const OVER_BUDGET: &str = "over-budget";
const REGRESSION: &str = "regression";

/// The record of a step that has not run yet.
fn new_record(of: &str, kind: StepKind, name: &str) -> StepRecord {
    StepRecord {
        kind,
        name: name.to_owned(),
        command: command_line(&["test".to_owned(), of.to_owned()]),
        outcome: StepOutcome::Infrastructure,
        seconds: 0.0,
        what: String::new(),
        lines: Vec::new(),
        earlier: Vec::new(),
        boot: None,
    }
}

impl StepRecord {
    fn fails(&mut self, outcome: StepOutcome, why: &str) {
        self.outcome = outcome;
        self.what = why.lines().next().unwrap_or_default().to_owned();
        self.lines = why.lines().skip(1).map(str::to_owned).collect();
    }
}

/// Reads the plan of the build, and records the published files and packages.
fn read_build(
    kind: &ImageType,
    place: &TypePaths,
    answer: &Value,
    record: &mut Record,
) -> Result<Plan, Failure> {
    let plan = plan_of(kind, answer)?;
    record.files = published(&plan, place.directory)?;
    if let Some(image) = plan.image() {
        record.packages = packages(&place.directory.join(format!("{image}.packages")))?;
    }
    Ok(plan)
}

fn provide(need: &Need) -> Result<(), Failure> {
    match need {
        Need::Seed { path, host } => write_seed(path, host),
        // systemd-tmpfiles adds the user after the root filesystem is mounted. Source: systemd-tmpfiles(8),
        // "Credentials"; tmpfiles.d(5); passwd(5): an empty second field means that there is no password.
        Need::Visitor { path } => {
            let line = format!("w+ /etc/passwd - - - - {VISITOR}::0:0::/root:/bin/sh\\n\n");
            std::fs::write(path, line).context(|| format!("could not write `{}`", path.display()))
        }
        Need::Updates { path, packages, content, reinstall } => {
            fetch_newer_packages(content, packages, *reinstall, path)
        }
        Need::Checks { path, text } => {
            std::fs::write(path, text).context(|| format!("could not write `{}`", path.display()))
        }
        Need::Disk { path, size } => File::create(path)
            .and_then(|file| file.set_len(size.0))
            .context(|| format!("could not create the empty disk `{}`", path.display())),
    }
}

pub(super) fn plan_of(kind: &ImageType, answer: &Value) -> Result<Plan, Failure> {
    let path = answer["plan"]
        .as_str()
        .ok_or_else(|| Failure::new(format!("the build of `{}` did not report a plan", kind.name)))?;
    let context = || format!("could not read the plan `{path}`");
    let text = std::fs::read_to_string(path).context(context)?;
    serde_json::from_str(&text).map_err(|error| Failure::new(context()).detail(error.to_string()))
}

/// The files to be published: those of `Formats`, or the raw image if there are none.
fn published(plan: &Plan, directory: &Path) -> Result<Vec<FileRecord>, Failure> {
    let mut files: Vec<(&str, String)> =
        plan.published.iter().map(|file| (file.name.as_str(), file.format.to_string())).collect();
    if files.is_empty() {
        files.extend(plan.image().map(|image| (image, "raw".to_owned())));
    }
    let look = |(name, format): (&str, String)| {
        let path = directory.join(name);
        let metadata =
            path.metadata().context(|| format!("could not read the metadata of `{}`", path.display()))?;
        Ok(FileRecord { name: name.to_owned(), format, bytes: metadata.len().min(metadata.blocks() * 512) })
    };
    files.into_iter().map(look).collect()
}

/// Reads the package list of the build: one name and version per line.
fn packages(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text = std::fs::read_to_string(path).context(|| format!("could not read `{}`", path.display()))?;
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    Ok(text.lines().filter(|text| !text.starts_with('#')).filter_map(line).collect())
}

/// Runs a step, and returns its record and its output. A step that fails because of the host is repeated once, and is
/// flaky if it then passes. `ready` contains an error if the step cannot be started.
pub(super) fn run_step(
    kind: &str,
    step: &TestStep,
    ready: Result<(), Failure>,
    progress: &dyn Progress,
) -> (StepRecord, Value) {
    progress.begin(format!("{kind}: {}", step.name));
    let started = Instant::now();
    let mut record = new_record(kind, step.kind, &step.name);
    record.command = command_line(&step.args);
    let mut tried = match ready.and_then(|()| attempt(step)) {
        Ok(tried) => tried,
        Err(failure) => {
            progress.warn(format!("{kind}: {}: {failure}", step.name));
            record.fails(StepOutcome::Infrastructure, &failure.to_string());
            return (record, Value::Null);
        }
    };
    // `ister boot` repeats failed attempts itself, unless it crashed or its second disk is no longer empty.
    let has_disk = step.needs.iter().any(|need| matches!(need, Need::Disk { .. }));
    let again = tried.outcome == StepOutcome::Infrastructure
        && (step.kind != StepKind::Boot || tried.answer.is_null() || has_disk);
    if again {
        progress.warn(format!("{kind}: {}: {}; trying again", step.name, tried.what));
        if let Ok(second) = attempt(step) {
            let first = std::mem::replace(&mut tried, second);
            tried.earlier.insert(0, first.what);
        }
    }
    record.outcome = match tried.outcome {
        StepOutcome::Passed if !tried.earlier.is_empty() => StepOutcome::Flaky,
        outcome => outcome,
    };
    if !record.outcome.is_good() {
        progress.warn(format!("{kind}: {}: {}: {}", step.name, record.outcome.name(), tried.what));
    }
    record.boot = step.report.as_ref().zip(tried.verdict).map(|(report, verdict)| BootRecord {
        file: step.file.clone(),
        firmware: verdict.firmware,
        accelerator: verdict.accelerator,
        hardware: verdict.hardware,
        class: verdict.last.class,
        seconds: verdict.last.seconds,
        stages: verdict.last.stages,
        advice: verdict.advice,
        look_at: verdict.look_at,
        start: verdict.start,
        checks: verdict.last.checks,
        cloud_requests: verdict.last.cloud_requests,
        report: format!("{kind}/{report}"),
    });
    record.seconds = (started.elapsed().as_secs_f64() * 100.0).round() / 100.0;
    (record.what, record.lines, record.earlier) = (tried.what, tried.lines, tried.earlier);
    (record, tried.answer)
}

/// A command line of this program with shell quoting.
fn command_line(args: &[String]) -> String {
    let words = args.iter().map(|word| shlex::try_quote(word).unwrap_or_else(|_| word.into()));
    std::iter::once("ister".into()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The result of one attempt of a step.
struct AttemptResult {
    outcome: StepOutcome,
    what: String,
    lines: Vec<String>,
    earlier: Vec<String>,
    verdict: Option<Verdict>,
    answer: Value,
}

/// Runs a step after recreating the files that it needs.
fn attempt(step: &TestStep) -> Result<AttemptResult, Failure> {
    step.needs.iter().try_for_each(provide)?;
    let program = std::env::current_exe().context(|| "could not find the path of this program".to_owned())?;
    // Builds run with lower priority, because guests depend on their clock.
    let nice = if step.kind == StepKind::Boot { "0" } else { "10" };
    // The command is terminated when this process ends for any reason.
    let command = Invocation::new("nice")
        .args(["-n", nice, "setpriv", "--pdeathsig", "TERM"])
        .arg(program)
        .args(&step.args)
        .arg("--quiet");
    let finished = run_any_status(&command)?;
    let answer: Value = serde_json::from_slice(&finished.stdout).unwrap_or_default();
    let printed: Vec<String> = finished.stderr.lines().map(str::to_owned).collect();
    let verdict = match step.kind {
        StepKind::Boot => serde_json::from_value::<Verdict>(answer.clone()).ok(),
        _ => None,
    };
    let is_proven = step.kind != StepKind::Boot
        || verdict.as_ref().is_some_and(|verdict| verdict.outcome == Outcome::Reached);
    let outcome = match finished.status.code() {
        Some(0) if is_proven => StepOutcome::Passed,
        // Findings, usage errors and crashes of ister: a second attempt would not help.
        Some(1 | 2 | 101) => StepOutcome::Failed,
        // This proves nothing about the image.
        _ => StepOutcome::Infrastructure,
    };
    let lines = match &verdict {
        Some(verdict) => verdict.last.lines.clone(),
        None if outcome.is_good() => Vec::new(),
        None => findings(&answer).chain(printed.iter().cloned()).collect(),
    };
    let earlier =
        verdict.iter().flat_map(|verdict| &verdict.earlier).map(|one| one.class.to_string()).collect();
    let what = match &verdict {
        Some(verdict) => verdict.last.class.to_string(),
        None if outcome.is_good() => String::new(),
        None => {
            let error = printed.iter().find(|line| line.starts_with("error")).or(printed.first());
            error.cloned().unwrap_or_else(|| finished.status.to_string())
        }
    };
    Ok(AttemptResult { outcome, what, lines, earlier, verdict, answer })
}

/// The findings of `verify`, one per line.
fn findings(answer: &Value) -> impl Iterator<Item = String> + '_ {
    answer["findings"].as_array().into_iter().flatten().filter_map(|finding| {
        Some(format!("{}: {}", finding["rule"].as_str()?, finding["message"].as_str()?))
    })
}
