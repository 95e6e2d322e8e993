//! `ister test`

use super::build::Format;
use super::console::{Console, print};
use super::input::{count, print_json};
use super::plan::read_plan;
use super::run::{Outcome, TalkArgs};
use crate::report::Table;
use crate::tool::{Context, Failure, Invocation, Progress, run_to_its_end};
use crate::trial::{
    ImageType, Place, Record, Step, StepKind, StepOutcome, StepRecord, build_step, junit, read_types, steps,
    write_seed,
};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Prove image types: build each, verify every file that is published of it, and boot them where they will run
///
/// A type is a folder with template.json and type.json; the second says which published file boots on which machine. Each step
/// is a command of this program, which the results name. What boots gets a receipt beside it.
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
    let types = chosen(args)?;
    if args.list {
        print(&list(&types));
        return Ok(Outcome::Fine);
    }
    std::fs::create_dir_all(&args.output)
        .context(|| format!("could not create the folder `{}`", args.output.display()))?;
    let key = args.output.join("key");
    make_key(&key)?;
    let mut records = Vec::new();
    for kind in &types {
        let folder = args.output.join(&kind.name);
        std::fs::create_dir_all(&folder)
            .context(|| format!("could not create the folder `{}`", folder.display()))?;
        records.push(prove(kind, &Place { folder: &folder, key: &key }, args, &console)?);
        // After each type: what is known stays known if this is ended.
        let text = serde_json::to_string_pretty(&json!({ "version": 1, "types": records }))? + "\n";
        write(&args.output.join("results.json"), &text)?;
    }
    console.finish();
    if let Some(path) = &args.junit {
        write(path, &junit(&records))?;
    }
    match args.format {
        Format::Json => print_json(&json!({ "version": 1, "types": records })),
        Format::Human => print(&human(&records)),
    }
    let has = |wanted: StepOutcome| records.iter().flat_map(|r| &r.steps).any(|step| step.outcome == wanted);
    Ok(if has(StepOutcome::Failed) {
        Outcome::Findings
    } else if has(StepOutcome::Infrastructure) {
        Outcome::Environment
    } else {
        Outcome::Fine
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).context(|| format!("could not write `{}`", path.display()))
}

fn chosen(args: &TestArgs) -> Result<Vec<ImageType>, Failure> {
    let all = read_types(&args.folder)?;
    if let Some(unknown) = args.types.iter().find(|name| !all.iter().any(|kind| kind.name == **name)) {
        let names: Vec<&str> = all.iter().map(|kind| kind.name.as_str()).collect();
        return Err(Failure::new(format!(
            "there is no image type `{unknown}` in `{}`",
            args.folder.display()
        ))
        .detail(format!("there are: {}", names.join(", "))));
    }
    Ok(all.into_iter().filter(|kind| args.types.is_empty() || args.types.contains(&kind.name)).collect())
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

fn prove(kind: &ImageType, place: &Place, args: &TestArgs, console: &Console) -> anyhow::Result<Record> {
    let mut record = Record { kind: kind.name.clone(), steps: Vec::new() };
    let cache: Vec<String> = args
        .cache_dir
        .iter()
        .flat_map(|folder| ["--cache-dir".to_owned(), folder.display().to_string()])
        .collect();
    let build = build_step(kind, place, &cache);
    let (built, answer) = take(&kind.name, &build, console)?;
    let is_good = built.outcome.is_good();
    record.steps.push(built);
    if !is_good {
        return Ok(record);
    }
    let plan = answer["plan"].as_str().map(Path::new).map(read_plan).transpose()?.flatten();
    let plan = plan.ok_or_else(|| anyhow::anyhow!("the build of `{}` left no plan", kind.name))?;
    let steps = steps(kind, &plan, place).map_err(|why| anyhow::anyhow!("{}: {why}", kind.name))?;
    for step in &steps {
        if let Some((path, host)) = &step.seed {
            write_seed(path, host)?;
        }
        record.steps.push(take(&kind.name, step, console)?.0);
    }
    Ok(record)
}

/// Runs a step; what it printed comes with it.
fn take(kind: &str, step: &Step, console: &Console) -> Result<(StepRecord, Value), Failure> {
    let progress: &dyn Progress = console;
    progress.begin(format!("{kind}: {}", step.name));
    let program = std::env::current_exe().context(|| "could not find this program".to_owned())?;
    let command = Invocation::new(program.display().to_string()).args(&step.args).arg("--quiet");
    let started = Instant::now();
    let finished = run_to_its_end(&command)?;
    let answer: Value = serde_json::from_slice(&finished.stdout).unwrap_or_default();
    let said: Vec<String> = finished.stderr.lines().map(str::to_owned).collect();
    let class = answer["class"].as_str().map(str::to_owned);
    let is_flaky = answer["earlier"].as_array().is_some_and(|earlier| !earlier.is_empty());
    let outcome = match finished.status.code() {
        Some(0) if is_flaky => StepOutcome::Flaky,
        Some(0) => StepOutcome::Passed,
        Some(1) => StepOutcome::Failed,
        // Nothing is said of the image.
        _ => StepOutcome::Infrastructure,
    };
    let lines = match answer["lines"].as_array() {
        Some(lines) if step.kind == StepKind::Boot => {
            lines.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ if outcome.is_good() => Vec::new(),
        _ => findings(&answer).chain(said.iter().cloned()).collect(),
    };
    let what = class.or_else(|| said.first().cloned()).unwrap_or_else(|| outcome.name().to_owned());
    if !outcome.is_good() {
        progress.warn(format!("{kind}: {}: {}: {what}", step.name, outcome.name()));
    }
    let record = StepRecord {
        kind: step.kind,
        name: step.name.clone(),
        command: format!("ister {}", step.args.join(" ")),
        outcome,
        seconds: (started.elapsed().as_secs_f64() * 100.0).round() / 100.0,
        what: if outcome == StepOutcome::Passed && step.kind != StepKind::Boot {
            String::new()
        } else {
            what
        },
        lines,
        report: step.report.as_ref().map(|path| path.display().to_string()),
    };
    Ok((record, answer))
}

/// What `verify` found, a line each.
fn findings(answer: &Value) -> impl Iterator<Item = String> + '_ {
    answer["findings"].as_array().into_iter().flatten().filter_map(|finding| {
        Some(format!("{}: {}", finding["rule"].as_str()?, finding["message"].as_str()?))
    })
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

fn human(records: &[Record]) -> String {
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
