//! `ister test`

use super::build::Format;
use super::changed::{changed_since, revision};
use super::console::{Console, print};
use super::input::{count, print_json};
use super::run::{Outcome, VerbosityArgs};
use super::run_state::{Claim, RunState, begun};
use crate::host::{Context, Failure, Invocation, Progress, leaves_when_interrupted, visible};
use crate::imagetest::history::History;
use crate::imagetest::{
    ImageType, MemoryBudget, Place, Record, Results, Run, Shard, StepOutcome, expected, longest_first, part,
    prove, read_types,
};
use crate::report::{Table, image_tests_junit};
use anyhow::{anyhow, bail};
use clap::Args;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

/// Prove image types: build each, verify every file that is published of it, and boot them where they will run
///
/// A type is a directory with template.json and type.json; the second says which published file boots on which machine. Each step
/// is a command of this program, which the results name. What boots gets a receipt beside it. Results are in
/// OUTPUT/results.json, after each type; `ister report` makes pages of them.
///
/// What may be left when it is interrupted: images and reports in OUTPUT, as after its end.
///
/// A run can be spread over machines: each gets --shard I/N and the same --run, `ister report` puts the parts together. One that
/// was ended goes on with the same --run and --output: types that are proven already stay so.
///
/// Exit code 0: all passed; 1: something failed; 3: the host could not do it, and nothing failed.
///
/// Example: ister test kvm cloudguest -o out/test --junit out/test/junit.xml
#[derive(Args, Debug)]
pub(super) struct TestArgs {
    /// The types [default: all]
    #[arg(value_name = "TYPE")]
    types: Vec<String>,

    /// The directory with the types
    #[arg(long, value_name = "DIR", default_value = "vm-tests")]
    directory: PathBuf,

    /// Where images, reports and results go, a directory for each type
    #[arg(short, long, value_name = "DIR", default_value = "out/test")]
    output: PathBuf,

    /// Only types that a change since this commit touches: their directory, their
    /// bundles, or files that the template names
    #[arg(long, value_name = "COMMIT")]
    changed: Option<String>,

    /// Only the I-th of N parts, which together have every type once
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// What the run is called [default: the time]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,

    /// Earlier runs: parts are balanced by how long types took, and the longest
    /// begins [written by `ister report --history`]
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// Types side by side [default: as many as there are processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Remove a type's images once it has passed; its reports stay
    #[arg(long)]
    discard: bool,

    /// List the types and what is done with each; nothing is run
    #[arg(long)]
    list: bool,

    /// Write the results as JUnit's XML, too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Where content is kept [default: ~/.cache/ister]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// How the results are printed
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
    if let Some(directory) = args.junit.as_ref().and_then(|path| path.parent()) {
        create_directory(directory)?;
    }
    create_directory(&args.output)?;
    let claim = Claim::of(&args.output)?;
    let before = begun(&args.output, args.run.as_deref(), progress)?;
    let (types, whole) = chosen(args, named, before.as_ref(), &console)?;
    if let (Some(path), Some(_)) = (args.history.as_ref().filter(|path| !path.exists()), args.shard) {
        progress.warn(format!(
            "there is no history `{}`: all types count as equal here, as they have to for the other shards",
            path.display()
        ));
    }
    let key = args.output.join("key");
    make_key(&key)?;
    let seconds = expected(types.iter().map(|kind| kind.name.as_str()), &measured(args)?);
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let run = Run {
        id: args.run.clone().unwrap_or_else(|| now.clone()),
        started: now,
        seconds: 0.0,
        // Of all types, whichever this part has: parts have it in common.
        revision: revision(&args.directory, &read_types(&args.directory)?),
        shard: args.shard,
        planned: types.iter().map(|kind| kind.name.clone()).collect(),
        whole,
        ister: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let state = RunState::begin(claim, run, before)?;
    leaves_when_interrupted(format!("what was done stays in `{}`", args.output.display()));
    go_on(args, &state.kept(), &console);
    let mut queue: Vec<&ImageType> = longest_first(&seconds)
        .into_iter()
        .filter(|name| !state.has(name))
        .filter_map(|name| types.iter().find(|kind| kind.name == *name))
        .collect();
    queue.reverse();
    prove_all(args, queue, &state, &key, &console)?;
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
        progress.warn(format!("planned for the same run, and without a result: {}", missing.join(", ")));
    }
    Ok(match outcome(&results.types) {
        Outcome::Fine if !missing.is_empty() => Outcome::Environment,
        outcome => outcome,
    })
}

/// What was proven before the run was ended stays, and is told.
fn go_on(args: &TestArgs, kept: &[Record], console: &Console) {
    if !kept.is_empty() {
        let failed = kept.iter().filter(|record| !record.is_good()).count();
        let note = if failed > 0 { format!(", {failed} of them failed") } else { String::new() };
        console.say(&format!(
            "ister: {} of the same run stay as they are{note}: another --run does them again",
            count(kept.len(), "type")
        ));
    }
    if args.discard {
        kept.iter().filter(|record| record.is_good()).for_each(|record| discarded(record, args, console));
    }
}

/// From the end of the queue, as many side by side as there are processors, and as memory allows.
fn prove_all(
    args: &TestArgs,
    queue: Vec<&ImageType>,
    state: &RunState,
    key: &Path,
    console: &Console,
) -> anyhow::Result<()> {
    let queue = Mutex::new(queue);
    let room = MemoryBudget::of_this_host();
    let more: Vec<String> = args
        .cache_dir
        .iter()
        .flat_map(|directory| ["--cache-dir".to_owned(), directory.display().to_string()])
        .collect();
    let work = || -> anyhow::Result<()> {
        loop {
            let Some(kind) = queue.lock().unwrap_or_else(|e| e.into_inner()).pop() else { return Ok(()) };
            let _guests = room.take(kind.memory());
            let directory = args.output.join(&kind.name);
            let record = prove(kind, &Place { directory: &directory, key }, &more, console);
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
            .map(|worker| worker.join().expect("a worker does not panic"))
            .collect::<anyhow::Result<Vec<()>>>()
    })
    .map(drop)
}

fn create_directory(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).context(|| format!("could not create the directory `{}`", path.display()))
}

/// What all of it comes to.
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

/// Images take gigabytes, and have been proven. Receipts, plans and reports stay.
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

/// How long each type took before.
fn measured(args: &TestArgs) -> Result<BTreeMap<String, f64>, Failure> {
    match &args.history {
        Some(path) if path.exists() => History::open(path)?.seconds(),
        _ => Ok(BTreeMap::new()),
    }
}

/// The types of the directory that the command line names.
fn named(args: &TestArgs) -> anyhow::Result<Vec<ImageType>> {
    let all = read_types(&args.directory).map_err(|failure| anyhow!("{failure}"))?;
    if all.is_empty() {
        bail!(
            "there are no image types in `{}`: a type is a directory with template.json and type.json; name the directory of them \
             with --directory",
            args.directory.display()
        );
    }
    if let Some(unknown) = args.types.iter().find(|name| !all.iter().any(|kind| kind.name == **name)) {
        let names: Vec<&str> = all.iter().map(|kind| kind.name.as_str()).collect();
        bail!(
            "there is no image type `{unknown}` in `{}`; there are: {}",
            args.directory.display(),
            names.join(", ")
        );
    }
    let is_named = |kind: &ImageType| args.types.is_empty() || args.types.contains(&kind.name);
    Ok(all.into_iter().filter(is_named).collect())
}

/// What is to be proven here, and the names of all that the shards together prove.
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
        // What the others do was decided when they began: the history may have changed since.
        let planned = before.filter(|before| before.run.shard == Some(shard));
        let mine = match planned {
            Some(before) => before.run.planned.clone(),
            None => part(&expected(types.iter().map(|kind| kind.name.as_str()), &measured(args)?), shard),
        };
        types.retain(|kind| mine.contains(&kind.name));
    }
    Ok((types, whole))
}

/// A key of this directory's: it opens nothing but the guests of these tests.
fn make_key(path: &Path) -> Result<(), Failure> {
    let public = path.with_extension("pub");
    if path.exists() && public.exists() {
        return Ok(());
    }
    // Half a pair, of somebody who was ended in between.
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

/// For a person: every step, and what to do about those that are not good.
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
            "\n{}: {}: {}\n  repeat it: {}\n",
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
    out.push_str(&format!("\n{} of {} good", records.len() - bad, count(records.len(), "type")));
    let flaky = records.iter().filter(|record| record.outcome() == StepOutcome::Flaky).count();
    if flaky > 0 {
        out.push_str(&format!(", {flaky} of them flaky"));
    }
    out.push('\n');
    out
}
