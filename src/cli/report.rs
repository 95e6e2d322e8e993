//! `ister report`

use super::build::Format;
use super::console::print;
use super::input::{count, print_json};
use super::run::{Outcome, TalkArgs};
use super::test;
use crate::history::{History, Past};
use crate::report::{BootFiles, Page, Site, pages};
use crate::tool::{Context, Failure, Progress};
use crate::trial::{Merged, Results, junit, merge};
use crate::vm::console_lines;
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Put the results of `ister test` together: one table, pages to look at, JUnit, history
///
/// Each DIR is an output of `ister test`, or a folder of such outputs. Parts of one run (--shard) become one: a type that two
/// parts have counts once, the newer one; what is missing is named. With --history runs are written into an SQLite database,
/// and the pages show how boot times and sizes went, what was flaky how often, and what has changed since the last green run.
///
/// Exit code 0: all passed, and nothing is missing; 1: something failed; 3: nothing failed, but the host could not do
/// something, or a part of a run is missing.
///
/// Example: ister report out/test -o out/site --history out/history.sqlite
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Outputs of `ister test`, or folders of them
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,

    /// Make pages of the newest run in this folder, which is replaced
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Write the runs into this SQLite database, which is made if there is none
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// Write the newest run as JUnit's XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// How the newest run is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    talk: TalkArgs,
}

pub fn run(args: &ReportArgs) -> anyhow::Result<Outcome> {
    let console = args.talk.console();
    let progress: &dyn Progress = &console;
    let mut places = Vec::new();
    let mut parts = Vec::new();
    for folder in &args.folders {
        for place in outputs(folder)? {
            let path = place.join(RESULTS);
            let text =
                std::fs::read_to_string(&path).context(|| format!("could not read `{}`", path.display()))?;
            let results = Results::parse(&text).map_err(|why| {
                Failure::new(format!("`{}` is not what `ister test` writes", path.display())).detail(why)
            })?;
            parts.push(results);
            places.push(place);
        }
    }
    let runs = merge(&parts);
    let newest = runs.last().expect("a folder without results is an error");
    let past = match &args.history {
        Some(path) => {
            let mut history = History::open(path)?;
            for run in &runs {
                history.record(&run.results)?;
            }
            history.past(&newest.results)?
        }
        None => Past::default(),
    };
    if let Some(folder) = &args.output {
        progress.begin(format!("making pages in {}", folder.display()));
        write_site(folder, newest, &places, &past)?;
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit(&newest.results.types, &newest.missing))
            .context(|| format!("could not write `{}`", path.display()))?;
    }
    console.finish();
    match args.format {
        Format::Json => print_json(&json!({
            "results": newest.results,
            "missing": newest.missing,
            "absent": newest.absent,
            "repeated": newest.repeated,
            "runs": runs.iter().map(|run| &run.results.run.id).collect::<Vec<_>>(),
        })),
        Format::Human => print(&test::human(&newest.results.types)),
    }
    if !newest.repeated.is_empty() {
        console.say(&format!("ister: done twice, the newer counts: {}", newest.repeated.join(", ")));
    }
    if !newest.absent.is_empty() {
        let absent: Vec<String> = newest.absent.iter().map(usize::to_string).collect();
        progress.warn(format!("nothing is there of shard {}", absent.join(", ")));
    }
    if !newest.missing.is_empty() {
        progress.warn(format!(
            "planned, but without a result: {}: {}",
            count(newest.missing.len(), "type"),
            newest.missing.join(", ")
        ));
    }
    Ok(match test::outcome(&newest.results.types) {
        Outcome::Fine if !newest.is_whole() => Outcome::Environment,
        outcome => outcome,
    })
}

const RESULTS: &str = "results.json";

/// A folder with results, or the folders in it that have some, by name.
fn outputs(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if folder.join(RESULTS).is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let context = || format!("could not read the folder `{}`", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).context(context)? {
        let path = entry.context(context)?.path();
        if path.join(RESULTS).is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Failure::new(format!("`{}` has no {RESULTS}", folder.display()))
            .help("name a folder that `ister test -o` wrote to"));
    }
    found.sort();
    Ok(found)
}

/// What shows that a folder holds pages of ours, and may be replaced.
const MARK: &str = ".ister-report";

/// Pages, pictures and logs, made beside the folder and put in its place when they are whole.
fn write_site(folder: &Path, run: &Merged, places: &[PathBuf], past: &Past) -> Result<(), Failure> {
    let context = || format!("could not make the pages in `{}`", folder.display());
    let is_empty =
        |folder: &Path| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if folder.exists() && !folder.join(MARK).is_file() && !is_empty(folder) {
        return Err(Failure::new(format!("`{}` holds something else than pages of ister", folder.display()))
            .help("name another folder with -o: what is in it would be replaced"));
    }
    let absolute = std::path::absolute(folder).context(context)?;
    let beside = absolute.parent().unwrap_or(&absolute);
    std::fs::create_dir_all(beside).context(context)?;
    let fresh = tempfile::Builder::new().prefix(".ister-report-").tempdir_in(beside).context(context)?;
    crate::tool::remove_on_interrupt(fresh.path());
    let mut files = BTreeMap::new();
    for record in &run.results.types {
        let place = &places[run.from[&record.kind]];
        for boot in record.steps.iter().filter_map(|step| step.boot.as_ref()) {
            let to = fresh.path().join(&boot.report);
            std::fs::create_dir_all(&to).context(context)?;
            files.insert(boot.report.clone(), copy_report(&place.join(&boot.report), &to)?);
        }
    }
    let site = Site { run, past, files: &files };
    for Page { path, text } in pages(&site) {
        std::fs::write(fresh.path().join(path), text).context(context)?;
    }
    std::fs::write(fresh.path().join(MARK), "").context(context)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(fresh.path(), mode).context(context)?;
    let old = tempfile::Builder::new().prefix(".ister-report-").tempdir_in(beside).context(context)?;
    if folder.exists() {
        std::fs::rename(folder, old.path().join("old")).context(context)?;
    }
    crate::tool::forget_file(fresh.path());
    std::fs::rename(fresh.keep(), folder).context(context)
}

/// What a boot left, if it is still there.
fn copy_report(from: &Path, to: &Path) -> Result<BootFiles, Failure> {
    let copy = |name: &str| -> Result<bool, Failure> {
        match std::fs::copy(from.join(name), to.join(name)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).context(|| format!("could not copy `{}`", from.join(name).display())),
        }
    };
    let has_screen = copy("screen.png")?;
    let serial = match copy("serial.log")? {
        true => console_lines(
            &std::fs::read(to.join("serial.log")).context(|| format!("could not read `{}`", to.display()))?,
        ),
        false => Vec::new(),
    };
    Ok(BootFiles { serial, has_screen })
}
