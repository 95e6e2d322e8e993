//! `ister test`

use super::build::Format;
use super::console::{Console, print};
use super::input::{count, definitions, print_json};
use super::run::{Outcome, TalkArgs};
use crate::history::History;
use crate::report::Table;
use crate::template::{SourceText, parse};
use crate::tool::{Context, Draft, Durability, Failure, Invocation, Progress};
use crate::trial::{
    ImageType, Ingredients, Place, RESULTS_VERSION, Record, Results, Room, Run, Shard, StepOutcome, expected,
    junit, longest_first, part, prove, read_types, texts, touched,
};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Instant, SystemTime};

/// Prove image types: build each, verify every file that is published of it, and boot them where they will run
///
/// A type is a folder with template.json and type.json; the second says which published file boots on which machine. Each step
/// is a command of this program, which the results name. What boots gets a receipt beside it. Results are in
/// OUTPUT/results.json, after each type; `ister report` makes pages of them.
///
/// A run can be spread over machines: each gets --shard I/N and the same --run, `ister report` puts the parts together. One that
/// was ended goes on with the same --run and --output: types that are proven already stay so.
///
/// Exit code 0: all passed; 1: something failed; 3: the host could not do it, and nothing failed.
///
/// Example: ister test kvm cloudguest -o out/test --junit out/test/junit.xml
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The types [default: all]
    #[arg(value_name = "TYPE")]
    types: Vec<String>,

    /// The folder with the types
    #[arg(long, value_name = "DIR", default_value = "vm-tests")]
    folder: PathBuf,

    /// Where images, reports and results go, a folder for each type
    #[arg(short, long, value_name = "DIR", default_value = "out/test")]
    output: PathBuf,

    /// Only types that a change since this commit touches: their folder, their
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
    talk: TalkArgs,
}

pub fn run(args: &TestArgs) -> anyhow::Result<Outcome> {
    let console = args.talk.console();
    let before = begun(args);
    let (types, whole) = chosen(args, before.as_ref(), &console)?;
    if args.list {
        print(&list(&types));
        return Ok(Outcome::Fine);
    }
    std::fs::create_dir_all(&args.output)
        .context(|| format!("could not create the folder `{}`", args.output.display()))?;
    let key = args.output.join("key");
    make_key(&key)?;
    let seconds = expected(types.iter().map(|kind| kind.name.as_str()), &measured(args)?);
    let board = Board::begin(args, &types, whole, before)?;
    let mut queue: Vec<&ImageType> = longest_first(&seconds)
        .into_iter()
        .filter(|name| !board.has(name))
        .filter_map(|name| types.iter().find(|kind| kind.name == *name))
        .collect();
    queue.reverse();
    let queue = Mutex::new(queue);
    let room = Room::of_this_host();
    let more: Vec<String> = args
        .cache_dir
        .iter()
        .flat_map(|folder| ["--cache-dir".to_owned(), folder.display().to_string()])
        .collect();
    let work = || -> anyhow::Result<()> {
        loop {
            let Some(kind) = queue.lock().unwrap_or_else(|e| e.into_inner()).pop() else { return Ok(()) };
            let _guests = room.take(kind.memory());
            let folder = args.output.join(&kind.name);
            let record = prove(kind, &Place { folder: &folder, key: &key }, &more, &console);
            board.add(record.clone())?;
            if args.discard
                && record.is_good()
                && let Err(failure) = discard(&record, &folder)
            {
                (&console as &dyn Progress).warn(format!("{}: {failure}", kind.name));
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
    })?;
    console.finish();
    let results = board.into_results();
    if let Some(path) = &args.junit {
        write(path, &junit(&results.types, &results.missing()))?;
    }
    match args.format {
        Format::Json => print_json(&serde_json::to_value(&results)?),
        Format::Human => print(&human(&results.types)),
    }
    Ok(outcome(&results.types))
}

/// What all of it comes to.
pub fn outcome(records: &[Record]) -> Outcome {
    match records.iter().map(Record::outcome).max() {
        Some(StepOutcome::Failed) => Outcome::Findings,
        Some(StepOutcome::Infrastructure) => Outcome::Environment,
        _ => Outcome::Fine,
    }
}

/// The results as far as they are known, in memory and in `results.json`.
struct Board {
    path: PathBuf,
    started: Instant,
    results: Mutex<Results>,
}

impl Board {
    /// What the same run has proven already stays; what the host could not do is done again.
    fn begin(
        args: &TestArgs,
        types: &[ImageType],
        whole: Vec<String>,
        before: Option<Results>,
    ) -> anyhow::Result<Board> {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let path = results_of(args);
        let mut results = Results {
            version: RESULTS_VERSION,
            run: Run {
                id: args.run.clone().unwrap_or_else(|| now.clone()),
                started: now,
                seconds: 0.0,
                revision: revision(&args.folder),
                shard: args.shard,
                planned: types.iter().map(|kind| kind.name.clone()).collect(),
                whole,
                ister: env!("CARGO_PKG_VERSION").to_owned(),
            },
            types: Vec::new(),
        };
        if let Some(before) = before {
            let stays = |record: &Record| record.outcome() != StepOutcome::Infrastructure;
            results.types = before.types.into_iter().filter(stays).collect();
            results.run.started = before.run.started;
            // Also what was planned then and not now: it belongs to the run.
            for (names, more) in
                [(&mut results.run.planned, before.run.planned), (&mut results.run.whole, before.run.whole)]
            {
                names.extend(more);
                names.sort();
                names.dedup();
            }
        }
        let board = Board { path, started: Instant::now(), results: Mutex::new(results) };
        board.save(&board.results.lock().unwrap_or_else(|e| e.into_inner()))?;
        Ok(board)
    }

    fn has(&self, name: &str) -> bool {
        self.results.lock().unwrap_or_else(|e| e.into_inner()).types.iter().any(|record| record.kind == name)
    }

    fn add(&self, record: Record) -> Result<(), Failure> {
        let mut results = self.results.lock().unwrap_or_else(|e| e.into_inner());
        results.types.push(record);
        results.types.sort_by(|a, b| a.kind.cmp(&b.kind));
        results.run.seconds = (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        self.save(&results)
    }

    /// The old file is there until the new one is whole.
    fn save(&self, results: &Results) -> Result<(), Failure> {
        let mut draft = Draft::begin(&self.path)?;
        let text = serde_json::to_string_pretty(results).expect("results are plain data") + "\n";
        draft
            .file
            .write_all(text.as_bytes())
            .context(|| format!("could not write `{}`", self.path.display()))?;
        draft.publish(Durability::Synced)
    }

    fn into_results(self) -> Results {
        self.results.into_inner().unwrap_or_else(|e| e.into_inner())
    }
}

fn results_of(args: &TestArgs) -> PathBuf {
    args.output.join("results.json")
}

/// What was written by the same run, if it goes on.
fn begun(args: &TestArgs) -> Option<Results> {
    let text = std::fs::read_to_string(results_of(args)).ok()?;
    let before = Results::parse(&text).ok()?;
    (args.run.as_ref() == Some(&before.run.id)).then_some(before)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).context(|| format!("could not write `{}`", path.display()))
}

/// Images take gigabytes, and have been proven. Receipts, plans and reports stay.
fn discard(record: &Record, folder: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(folder).context(|| format!("could not read `{}`", folder.display()))? {
        let path = entry.context(|| format!("could not read `{}`", folder.display()))?.path();
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

/// What is to be proven here, and the names of all that the shards together prove.
fn chosen(
    args: &TestArgs,
    before: Option<&Results>,
    console: &Console,
) -> anyhow::Result<(Vec<ImageType>, Vec<String>)> {
    let all = read_types(&args.folder)?;
    if all.is_empty() {
        return Err(Failure::new(format!("there are no image types in `{}`", args.folder.display()))
            .help(
                "a type is a folder with template.json and type.json: name the folder of them with --folder",
            )
            .into());
    }
    if let Some(unknown) = args.types.iter().find(|name| !all.iter().any(|kind| kind.name == **name)) {
        let names: Vec<&str> = all.iter().map(|kind| kind.name.as_str()).collect();
        return Err(Failure::new(format!(
            "there is no image type `{unknown}` in `{}`",
            args.folder.display()
        ))
        .detail(format!("there are: {}", names.join(", ")))
        .into());
    }
    let mut types = all;
    types.retain(|kind| args.types.is_empty() || args.types.contains(&kind.name));
    if let Some(base) = &args.changed {
        let changed = changed_paths(&args.folder, base)?;
        let mut kept = Vec::new();
        for kind in types {
            if let Some(path) = touched(&ingredients(&kind, &changed.top)?, &changed.paths) {
                console.say(&format!("ister: {}: `{path}` has changed", kind.name));
                kept.push(kind);
            }
        }
        types = kept;
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

/// What differs from a commit, what is not committed yet included.
struct Changed {
    /// The repository's top folder.
    top: PathBuf,
    paths: Vec<String>,
}

fn git(folder: &Path, args: &[&str]) -> Result<String, Failure> {
    let finished = crate::tool::run(&Invocation::new("git").arg("-C").arg(folder).args(args))?;
    Ok(String::from_utf8_lossy(&finished.stdout).into_owned())
}

fn revision(folder: &Path) -> Option<String> {
    crate::tool::find_program("git")?;
    Some(git(folder, &["rev-parse", "--verify", "HEAD"]).ok()?.trim().to_owned())
}

fn changed_paths(folder: &Path, base: &str) -> Result<Changed, Failure> {
    let context =
        |failure: Failure| failure.context(format!("could not see what has changed since `{base}`"));
    let top = git(folder, &["rev-parse", "--show-toplevel"]).map_err(context)?;
    let top = PathBuf::from(top.trim_end_matches('\n'));
    let fork = git(&top, &["merge-base", "--end-of-options", base, "HEAD"]).map_err(context)?;
    let tracked = git(&top, &["diff", "--name-only", "--no-renames", "-z", fork.trim()]).map_err(context)?;
    let others = git(&top, &["ls-files", "--others", "--exclude-standard", "-z"]).map_err(context)?;
    let paths = tracked.split('\0').chain(others.split('\0'));
    Ok(Changed { top, paths: paths.filter(|path| !path.is_empty()).map(str::to_owned).collect() })
}

fn ingredients(kind: &ImageType, top: &Path) -> anyhow::Result<Ingredients> {
    let read = || format!("could not read `{}`", kind.template.display());
    let text = std::fs::read_to_string(&kind.template).context(read)?;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let (template, _, _) = parse(&SourceText::new(kind.template.display().to_string(), text.clone()));
    let bundles: BTreeSet<String> = template.bundles().iter().map(|name| name.value.clone()).collect();
    let resolved = definitions(None)?.resolve(bundles.iter().map(String::as_str));
    let folder = kind.template.parent().unwrap_or(Path::new("."));
    let top = top.canonicalize().unwrap_or_else(|_| top.to_owned());
    // A file that is gone has a name too: its folder is what has to be there.
    let absolute = |path: &Path| match path.canonicalize() {
        Ok(path) => Some(path),
        Err(_) => Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?)),
    };
    let in_repository =
        |path: PathBuf| Some(absolute(&path)?.strip_prefix(&top).ok()?.to_string_lossy().into_owned());
    let named = texts(&value).into_iter().flat_map(|text| [PathBuf::from(text), folder.join(text)]);
    Ok(Ingredients {
        folder: in_repository(folder.to_owned()).unwrap_or_default(),
        bundles: bundles.into_iter().chain(resolved.bundles).collect(),
        files: named.filter(|path| !path.is_dir()).filter_map(in_repository).collect(),
    })
}

/// A key of this folder's: it opens nothing but the guests of these tests.
fn make_key(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    let keygen =
        Invocation::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "ister test", "-f"]);
    crate::tool::run(&keygen.arg(path)).map(|_| ())
}

fn list(types: &[ImageType]) -> String {
    let mut table = Table::new(&["type", "boots"], &[]);
    for kind in types {
        let boots: Vec<&str> = kind.definition.boots.iter().map(|case| case.file.as_str()).collect();
        let boots =
            if boots.is_empty() { "never: no firmware starts it".to_owned() } else { boots.join(", ") };
        table.row([kind.name.clone(), boots]);
    }
    table.render()
}

/// For a person: every step, and what to do about those that are not good.
pub fn human(records: &[Record]) -> String {
    let mut table = Table::new(&["type", "step", "outcome", "seconds", ""], &[3]);
    for record in records {
        for step in &record.steps {
            table.row([
                record.kind.clone(),
                step.name.clone(),
                step.outcome.name().to_owned(),
                format!("{:.1}", step.seconds),
                step.what.clone(),
            ]);
        }
    }
    let mut out = table.render();
    for (record, step) in records.iter().flat_map(|r| r.steps.iter().map(move |step| (r, step))) {
        if step.outcome.is_good() {
            continue;
        }
        out.push_str(&format!(
            "\n{}: {}: {}\n  repeat it: {}\n",
            record.kind, step.name, step.what, step.command
        ));
        for line in &step.lines {
            out.push_str(&format!("  | {line}\n"));
        }
    }
    let bad = records.iter().filter(|record| !record.is_good()).count();
    out.push_str(&format!("\n{} of {} good\n", records.len() - bad, count(records.len(), "type")));
    out
}
