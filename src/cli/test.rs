//! `ister test`

use super::build::Format;
use super::changed::{changed_since, revision};
use super::console::{Console, print};
use super::input::{at_least, count, print_json};
use super::output::LeastMemoryOutput;
use super::run::{Outcome, VerbosityArgs};
use super::run_state::{Claim, RunState, begun};
use crate::host::{Context, Failure, Invocation, Progress, set_interrupt_note, visible};
use crate::imagetest::history::{Baseline, History};
use crate::imagetest::{
    ImageType, LeastMemory, MemoryBudget, Record, Results, Shard, StepOutcome, TestRun, TypePaths, expected,
    least_memory, longest_first, part, prove, read_types,
};
use crate::report::{Table, image_tests_junit};
use anyhow::{anyhow, bail};
use clap::Args;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// Test image types: build each one, verify its published files, and boot them
///
/// A type is a directory with template.json and type.json. type.json defines which published file is booted on which
/// virtual machine. Each step is an ister command, which is part of the results, and files that boot get a receipt.
/// Results are written to OUTPUT/results.json after each type; `ister report` creates web pages from them.
///
/// To split a run over several machines, use --shard I/N with the same --run on each, and merge the results with
/// `ister report`. An interrupted run continues with the same --run and --output, and does not repeat finished types.
/// After an interruption, images and reports remain in OUTPUT.
///
/// Exit code 0: all types passed; 1: a type failed; 3: no type failed, but the host could not run a step.
///
/// Example: ister test kvm cloudguest -o out/test --junit out/test/junit.xml
#[derive(Args, Debug)]
pub(super) struct TestArgs {
    /// Types to test [default: all]
    #[arg(value_name = "TYPE")]
    types: Vec<String>,

    /// Directory with the types
    #[arg(long, value_name = "DIR", default_value = "vm-tests")]
    directory: PathBuf,

    /// Output directory for results, with a subdirectory for each type
    #[arg(short, long, value_name = "DIR", default_value = "out/test")]
    output: PathBuf,

    /// Only test types that are affected by changes since this commit: to their
    /// directory, their bundles, or files that the template uses
    #[arg(long, value_name = "COMMIT")]
    changed: Option<String>,

    /// Only test the I-th of N parts of all types
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// Name of the run [default: the current time]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,

    /// Database of earlier runs from `ister report --history`: shards are balanced
    /// by test duration, the longest tests start first, and results are compared with
    /// earlier ones if type.json has `regression`
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// Number of types to test in parallel [default: the number of CPUs]
    #[arg(short, long, value_name = "N", value_parser = at_least(1u16))]
    jobs: Option<u16>,

    /// Remove the images of each type that passes, but keep its reports
    #[arg(long)]
    discard: bool,

    /// List the types and what is booted of each, without running tests
    #[arg(long)]
    list: bool,

    /// Instead of a test: search the least memory with which the first file of each
    /// TYPE reaches its login prompt
    #[arg(long, requires = "types", conflicts_with_all = ["changed", "shard", "run", "history", "discard", "list", "junit"])]
    least_memory: bool,

    /// Also write the results as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Content cache directory [default: ~/.cache/ister]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// Output format of the results
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    verbosity: VerbosityArgs,
}

pub(super) fn run(args: &TestArgs) -> anyhow::Result<Outcome> {
    let console = args.verbosity.console();
    let progress: &dyn Progress = &console;
    let named = named(args)?;
    if args.list {
        let before = begun(&args.output, args.run.as_deref(), progress)?;
        print(&list(&chosen(args, named, before.as_ref(), &console)?.0));
        return Ok(Outcome::Fine);
    }
    if args.least_memory {
        return search_least_memory(args, &named, &console);
    }
    if let Some(directory) = args.junit.as_ref().and_then(|path| path.parent()) {
        create_directory(directory)?;
    }
    create_directory(&args.output)?;
    let claim = Claim::of(&args.output)?;
    let before = begun(&args.output, args.run.as_deref(), progress)?;
    let (types, whole) = chosen(args, named, before.as_ref(), &console)?;
    if let (Some(path), Some(_)) = (args.history.as_ref().filter(|path| !path.exists()), args.shard) {
        progress.warn(format!(
            "history `{}` not found; types are distributed without it, so all shards must run without it",
            path.display()
        ));
    }
    let key = args.output.join("key");
    make_key(&key)?;
    let seconds = expected(types.iter().map(|kind| kind.name.as_str()), &measured(args)?);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let run = TestRun {
        id: args.run.clone().unwrap_or_else(|| now.clone()),
        started: now,
        seconds: 0.0,
        // The revision covers all types, not only this shard's, because it must be the same for all shards.
        revision: revision(&args.directory, &read_types(&args.directory)?),
        shard: args.shard,
        planned: types.iter().map(|kind| kind.name.clone()).collect(),
        whole,
        ister: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let state = RunState::begin(claim, run, before)?;
    set_interrupt_note(format!("results so far are in `{}`", args.output.display()));
    report_resumed(args, &state.kept(), &console);
    let mut queue: Vec<&ImageType> = longest_first(&seconds)
        .into_iter()
        .filter(|name| !state.has(name))
        .filter_map(|name| types.iter().find(|kind| kind.name == *name))
        .collect();
    queue.reverse();
    test_all(args, queue, &state, &key, &console)?;
    console.finish();
    let results = state.into_results();
    if let Some(path) = &args.junit {
        write(path, &image_tests_junit(&results.types, &results.missing()))?;
    }
    match args.format {
        Format::Json => print_json(&results),
        Format::Human => print(&human(&results.types)),
    }
    let missing = results.missing();
    if !missing.is_empty() {
        progress.warn(format!("missing results of this run: {}", missing.join(", ")));
    }
    Ok(match outcome(&results.types) {
        Outcome::Fine if !missing.is_empty() => Outcome::Environment,
        outcome => outcome,
    })
}

/// `--least-memory`
fn search_least_memory(args: &TestArgs, types: &[ImageType], console: &Console) -> anyhow::Result<Outcome> {
    create_directory(&args.output)?;
    let _claim = Claim::of(&args.output)?;
    let key = args.output.join("key");
    make_key(&key)?;
    let more = cache_arguments(args);
    let mut all = Vec::new();
    for kind in types {
        let directory = args.output.join(&kind.name);
        all.push(least_memory(kind, &TypePaths { directory: &directory, key: &key }, &more, console)?);
    }
    console.finish();
    let outcome =
        if all.iter().all(|found| found.memory.is_some()) { Outcome::Fine } else { Outcome::Findings };
    match args.format {
        Format::Json => print_json(&LeastMemoryOutput { version: 1, types: all }),
        Format::Human => all.iter().for_each(|found| print(&least_memory_table(found))),
    }
    Ok(outcome)
}

fn least_memory_table(found: &LeastMemory) -> String {
    let mut table = Table::new(&["memory", "result", "last stage", "seconds"], &[0, 3]);
    for boot in &found.boots {
        table.row([
            format!("{} MiB", boot.memory),
            boot.class.to_string(),
            boot.stage.map(|stage| stage.to_string()).unwrap_or_default(),
            format!("{:.1}", boot.seconds),
        ]);
    }
    let result = match found.memory {
        Some(memory) => format!("{memory} MiB are enough"),
        None => "no login prompt even with the memory of type.json".to_owned(),
    };
    format!("{}\n{}: {}: {result}\n", table.render(), found.kind, found.file)
}

fn cache_arguments(args: &TestArgs) -> Vec<String> {
    let directory = args.cache_dir.iter();
    directory.flat_map(|path| ["--cache-dir".to_owned(), path.display().to_string()]).collect()
}

/// Reports the results of earlier invocations of the run, which are not repeated.
fn report_resumed(args: &TestArgs, kept: &[Record], console: &Console) {
    if !kept.is_empty() {
        let failed = kept.iter().filter(|record| !record.is_good()).count();
        let note = if failed > 0 { format!(", {failed} of them failed") } else { String::new() };
        console.say(&format!(
            "ister: {} already tested in this run{note}; use another --run to test again",
            count(kept.len(), "type")
        ));
    }
    if args.discard {
        kept.iter().filter(|record| record.is_good()).for_each(|record| discarded(record, args, console));
    }
}

/// Tests the types in parallel, from the end of the queue, as far as CPUs and memory allow.
fn test_all(
    args: &TestArgs,
    queue: Vec<&ImageType>,
    state: &RunState,
    key: &Path,
    console: &Console,
) -> anyhow::Result<()> {
    let queue = Mutex::new(queue);
    let memory = MemoryBudget::of_this_host();
    let more = cache_arguments(args);
    let history = open_history(args)?.map(Mutex::new);
    let run = state.id();
    let work = || -> anyhow::Result<()> {
        loop {
            let Some(kind) = queue.lock().unwrap_or_else(|e| e.into_inner()).pop() else { return Ok(()) };
            let _guests = memory.take(kind.memory());
            let directory = args.output.join(&kind.name);
            let earlier = match &history {
                Some(history) => {
                    history.lock().unwrap_or_else(|e| e.into_inner()).baseline(&kind.name, &run)?
                }
                None => Baseline::default(),
            };
            let record = prove(kind, &TypePaths { directory: &directory, key }, &more, &earlier, console);
            state.add(record.clone())?;
            if args.discard && record.is_good() {
                discarded(&record, args, console);
            }
        }
    };
    let jobs =
        args.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker thread does not panic"))
            .collect::<anyhow::Result<Vec<()>>>()
    })
    .map(drop)
}

fn create_directory(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).context(|| format!("could not create the directory `{}`", path.display()))
}

/// The outcome of all records together.
pub(super) fn outcome(records: &[Record]) -> Outcome {
    match records.iter().map(Record::outcome).max() {
        Some(StepOutcome::Failed) => Outcome::Findings,
        Some(StepOutcome::Infrastructure) => Outcome::Environment,
        Some(StepOutcome::Passed | StepOutcome::Flaky) | None => Outcome::Fine,
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).context(|| format!("could not write `{}`", path.display()))
}

fn discarded(record: &Record, args: &TestArgs, progress: &dyn Progress) {
    if let Err(failure) = discard(record, &args.output.join(&record.kind)) {
        progress.warn(format!("{}: {failure}", record.kind));
    }
}

/// Removes the images of a type, which take gigabytes. Receipts, plans and reports are kept.
fn discard(record: &Record, directory: &Path) -> Result<(), Failure> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.context(|| format!("could not read `{}`", directory.display()))?,
    };
    for entry in entries {
        let path = entry.context(|| format!("could not read `{}`", directory.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_image = record.files.iter().any(|file| file.name == name)
            || path.with_file_name(format!("{name}.plan.json")).exists()
            || ["seed-", "target-"].iter().any(|prefix| name.starts_with(prefix));
        if is_image && path.is_file() {
            std::fs::remove_file(&path).context(|| format!("could not remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

/// The duration of each type in earlier runs.
fn measured(args: &TestArgs) -> Result<BTreeMap<String, f64>, Failure> {
    open_history(args)?.map_or_else(|| Ok(BTreeMap::new()), |history| history.seconds())
}

fn open_history(args: &TestArgs) -> Result<Option<History>, Failure> {
    args.history.as_deref().filter(|path| path.exists()).map(History::open).transpose()
}

/// The types that the command line selects.
fn named(args: &TestArgs) -> anyhow::Result<Vec<ImageType>> {
    let all = read_types(&args.directory).map_err(|failure| anyhow!("{failure}"))?;
    if all.is_empty() {
        bail!(
            "no image types found in `{}`; a type is a directory with template.json and type.json; use --directory for another \
             directory of types",
            args.directory.display()
        );
    }
    if let Some(unknown) = args.types.iter().find(|name| !all.iter().any(|kind| kind.name == **name)) {
        let names: Vec<&str> = all.iter().map(|kind| kind.name.as_str()).collect();
        bail!(
            "unknown image type `{unknown}` in `{}`; available types: {}",
            args.directory.display(),
            names.join(", ")
        );
    }
    let is_named = |kind: &ImageType| args.types.is_empty() || args.types.contains(&kind.name);
    Ok(all.into_iter().filter(is_named).collect())
}

/// The types to test in this shard, and the names of the types that all shards test together.
fn chosen(
    args: &TestArgs,
    mut types: Vec<ImageType>,
    before: Option<&Results>,
    console: &Console,
) -> anyhow::Result<(Vec<ImageType>, Vec<String>)> {
    if let Some(base) = &args.changed {
        types = changed_since(base, &args.directory, types, console)?;
    }
    let whole = types.iter().map(|kind| kind.name.clone()).collect();
    if let Some(shard) = args.shard {
        // If the run is resumed, keep the original distribution: the history may have changed since.
        let planned = before.filter(|before| before.run.shard == Some(shard));
        let mine = match planned {
            Some(before) => before.run.planned.clone(),
            None => part(&expected(types.iter().map(|kind| kind.name.as_str()), &measured(args)?), shard),
        };
        types.retain(|kind| mine.contains(&kind.name));
    }
    Ok((types, whole))
}

/// Creates the ssh key for the test guests, unless it exists.
fn make_key(path: &Path) -> Result<(), Failure> {
    let public = path.with_extension("pub");
    if path.exists() && public.exists() {
        return Ok(());
    }
    // Remove an incomplete key pair of an interrupted run.
    for half in [path, &public] {
        match std::fs::remove_file(half) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context(|| format!("could not remove `{}`", half.display()));
            }
            _ => {}
        }
    }
    let keygen =
        Invocation::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "ister test", "-f"]);
    crate::host::run(&keygen.arg(path))?;
    Ok(())
}

fn list(types: &[ImageType]) -> String {
    let mut table = Table::new(&["type", "boots"], &[]);
    for kind in types {
        let boots: Vec<&str> = kind.definition.boots.iter().map(|case| case.file.as_str()).collect();
        let boots = if boots.is_empty() { "none".to_owned() } else { boots.join(", ") };
        table.row([kind.name.clone(), boots]);
    }
    table.render()
}

/// The results for people: a table of all steps, and the details of those that failed.
pub(super) fn human(records: &[Record]) -> String {
    let mut table = Table::new(&["type", "step", "outcome", "seconds", ""], &[3]);
    for record in records {
        for step in &record.steps {
            table.row([
                record.kind.clone(),
                visible(&step.name).into_owned(),
                step.outcome.name().to_owned(),
                format!("{:.1}", step.seconds),
                visible(&step.what).into_owned(),
            ]);
        }
    }
    let mut out = table.render();
    for (record, step) in records.iter().flat_map(|r| r.steps.iter().map(move |step| (r, step))) {
        if step.outcome == StepOutcome::Flaky {
            out.push_str(&format!(
                "\n{}: {}: passed after {}\n",
                record.kind,
                visible(&step.name),
                visible(&step.earlier.join(", "))
            ));
        }
        if step.outcome.is_good() {
            continue;
        }
        out.push_str(&format!(
            "\n{}: {}: {}\n  to reproduce: {}\n",
            record.kind,
            visible(&step.name),
            visible(&step.what),
            visible(&step.command)
        ));
        for line in &step.lines {
            out.push_str(&format!("  | {}\n", visible(line)));
        }
    }
    let bad = records.iter().filter(|record| !record.is_good()).count();
    out.push_str(&format!("\n{} of {} passed", records.len() - bad, count(records.len(), "type")));
    let flaky = records.iter().filter(|record| record.outcome() == StepOutcome::Flaky).count();
    if flaky > 0 {
        out.push_str(&format!(", {flaky} of them flaky"));
    }
    out.push('\n');
    out
}
