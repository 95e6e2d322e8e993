//! `ister report`

use super::build::Format;
use super::console::print;
use super::input::{count, print_json, require};
use super::output::ReportOutput;
use super::run::{Outcome, VerbosityArgs};
use super::test;
use crate::boot::console_lines;
use crate::host::{Context, Failure, Progress};
use crate::imagetest::history::{History, Past};
use crate::imagetest::{BootRecord, Merged, Results, TestRun, boot_paths_picture, merge};
use crate::plan::Plan;
use crate::report::{BootFiles, ContentsFiles, Page, Site, image_tests_junit, pages, plan_svg};
use clap::Args;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Combine the results of `ister test` into a table, web pages, JUnit XML and a history
///
/// Each DIR is an output directory of `ister test`, or contains such directories. The parts of a sharded run
/// (--shard) are merged. If two parts have finished the same type, the worse result counts. Missing parts, and parts
/// of another commit, are reported.
///
/// With --history, the runs are recorded in an SQLite database. The pages then show trends of boot times and image
/// sizes, flaky tests, and what has changed since the last successful run.
///
/// Exit code 0: all tests passed; 1: a test failed; 3: no test failed, but the host could not run a step or a part of
/// the run is missing.
///
/// Example: ister report out/test -o out/site --history out/history.sqlite
#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// Output directories of `ister test`, or directories that contain them
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,

    /// Write web pages for the newest run to this directory, which is replaced
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Record the runs in this SQLite database; created if missing
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// Write the newest run as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Output format of the newest run
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    #[command(flatten)]
    verbosity: VerbosityArgs,
}

pub(super) fn run(args: &ReportArgs) -> anyhow::Result<Outcome> {
    for directory in &args.directories {
        require(directory)?;
    }
    let console = args.verbosity.console();
    let progress: &dyn Progress = &console;
    let ResultDirectories { places, parts, damaged } =
        ResultDirectories::in_directories(&args.directories, progress);
    if parts.is_empty() {
        return Err(Failure::new("no readable results found")
            .help("use an output directory of `ister test`")
            .into());
    }
    let runs = merge(&parts);
    let newest = runs.last().expect("there is at least one run, because `parts` is not empty");
    // If the history cannot be written, still write the table and the pages.
    let (past, written) =
        match args.history.as_deref().map(|path| record_history(path, &runs, newest)).transpose() {
            Ok(past) => (past.unwrap_or_default(), Ok(())),
            Err(failure) => (Past::default(), Err(failure)),
        };
    if let Some(directory) = &args.output {
        progress.begin(format!("writing pages to {}", directory.display()));
        write_site(directory, newest, &places, &past)?;
    }
    if let Some(path) = &args.junit {
        write_junit(path, newest)?;
    }
    console.finish();
    match args.format {
        Format::Json => print_json(&ReportOutput {
            version: 1,
            results: &newest.results,
            missing: &newest.missing,
            absent: &newest.absent,
            repeated: &newest.repeated,
            foreign: newest.foreign.iter().map(|index| places[*index].as_path()).collect(),
            runs: runs.iter().map(|run| run.results.run.id.as_str()).collect(),
        }),
        Format::Human => print(&test::human(&newest.results.types)),
    }
    warn_about_parts(newest, &parts, &places, progress);
    written?;
    Ok(match test::outcome(&newest.results.types) {
        Outcome::Fine if !newest.is_whole() || damaged > 0 => Outcome::Environment,
        outcome => outcome,
    })
}

/// The results that were found, each with its directory.
struct ResultDirectories {
    places: Vec<PathBuf>,
    parts: Vec<Results>,
    /// The number of results that could not be read.
    damaged: usize,
}

impl ResultDirectories {
    fn in_directories(directories: &[PathBuf], progress: &dyn Progress) -> ResultDirectories {
        let mut found = ResultDirectories { places: Vec::new(), parts: Vec::new(), damaged: 0 };
        for directory in directories {
            // A damaged part must not hide the others.
            let places = outputs(directory).unwrap_or_else(|failure| found.damage(&failure, progress));
            for place in places {
                match read(&place) {
                    Ok(results) => {
                        found.parts.push(results);
                        found.places.push(place);
                    }
                    Err(failure) => drop(found.damage(&failure, progress)),
                }
            }
        }
        found
    }

    fn damage(&mut self, failure: &Failure, progress: &dyn Progress) -> Vec<PathBuf> {
        progress.warn(failure.to_string());
        self.damaged += 1;
        Vec::new()
    }
}

fn write_junit(path: &Path, newest: &Merged) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .context(|| format!("could not create the directory `{}`", directory.display()))?;
    }
    std::fs::write(path, image_tests_junit(&newest.results.types, &newest.missing))
        .context(|| format!("could not write `{}`", path.display()))
}

/// Warns about missing, duplicate and mismatched parts of a run.
fn warn_about_parts(newest: &Merged, parts: &[Results], places: &[PathBuf], progress: &dyn Progress) {
    if !newest.repeated.is_empty() {
        progress.warn(format!("more than one result for: {}", newest.repeated.join(", ")));
    }
    if !newest.absent.is_empty() {
        let absent: Vec<String> = newest.absent.iter().map(usize::to_string).collect();
        progress.warn(format!("missing results of shard {}", absent.join(", ")));
    }
    if !newest.missing.is_empty() {
        progress.warn(format!(
            "missing results of {}: {}",
            count(newest.missing.len(), "type"),
            newest.missing.join(", ")
        ));
    }
    let run = &newest.results.run;
    let of_run = |(index, part): &(usize, &Results)| part.run.id == run.id && !newest.foreign.contains(index);
    let own = parts.iter().enumerate().find(of_run).map_or(run, |(_, part)| &part.run);
    for index in &newest.foreign {
        progress.warn(format!(
            "ignored `{}`: its part of the run is from {}, but the newest part is from {}; remove it or run it again",
            places[*index].display(),
            origin(&parts[*index].run),
            origin(own)
        ));
    }
}

/// The properties that all parts of a run must share.
fn origin(run: &TestRun) -> String {
    let commit =
        run.revision.as_deref().map_or("no commit".to_owned(), |revision| format!("commit {revision}"));
    let shards = run.shard.map(|shard| format!(", {} shards", shard.count));
    format!("{commit}, ister {}{}", run.ister, shards.unwrap_or_default())
}

/// Records all runs in the history, and returns the runs before the newest.
fn record_history(path: &Path, runs: &[Merged], newest: &Merged) -> Result<Past, Failure> {
    let mut history = History::open(path)?;
    for run in runs {
        history.record(&run.results)?;
    }
    history.past(&newest.results)
}

const RESULTS: &str = "results.json";

fn read(place: &Path) -> Result<Results, Failure> {
    let path = place.join(RESULTS);
    let text = std::fs::read_to_string(&path).context(|| format!("could not read `{}`", path.display()))?;
    Results::parse(&text)
        .map_err(|why| Failure::new(format!("invalid results file `{}`", path.display())).detail(why))
}

/// The directory itself if it has results, else its subdirectories that have results, sorted by name.
fn outputs(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    if directory.join(RESULTS).is_file() {
        return Ok(vec![directory.to_owned()]);
    }
    let context = || format!("could not read the directory `{}`", directory.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).context(context)? {
        let path = entry.context(context)?.path();
        if path.join(RESULTS).is_file() {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Failure::new(format!("no {RESULTS} found in `{}`", directory.display()))
            .help("use an output directory of `ister test`"));
    }
    found.sort();
    Ok(found)
}

/// A file that marks a directory as written by `ister report`, which may therefore be replaced.
const MARKER: &str = ".ister-report";

/// Writes pages, pictures and logs to a temporary directory, and replaces `directory` with it.
fn write_site(directory: &Path, run: &Merged, places: &[PathBuf], past: &Past) -> Result<(), Failure> {
    let context = || format!("could not write the pages to `{}`", directory.display());
    let is_empty =
        |directory: &Path| std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    if directory.exists() && !directory.join(MARKER).is_file() && !is_empty(directory) {
        return Err(Failure::new(format!(
            "the directory `{}` was not written by `ister report`",
            directory.display()
        ))
        .help("use another directory with -o; its contents would be replaced"));
    }
    // If the directory is a symbolic link, replace its target.
    let directory = match directory.canonicalize() {
        Ok(real) => real,
        Err(_) => std::path::absolute(directory).context(context)?,
    };
    let parent = directory.parent().unwrap_or(&directory);
    std::fs::create_dir_all(parent).context(context)?;
    let fresh = tempfile::Builder::new().prefix(".ister-report-").tempdir_in(parent).context(context)?;
    crate::host::remove_on_interrupt(fresh.path());
    let (mut files, mut contents) = (BTreeMap::new(), BTreeMap::new());
    for record in &run.results.types {
        let place = &places[run.from[&record.kind]];
        for boot in record.steps.iter().filter_map(|step| step.boot.as_ref()) {
            let to = fresh.path().join(&boot.report);
            std::fs::create_dir_all(&to).context(context)?;
            files.insert(boot.report.clone(), copy_report(place, boot, &to)?);
        }
        contents.insert(record.kind.clone(), copy_contents(place, &record.kind, fresh.path())?);
    }
    let site = Site { run, past, files: &files, contents: &contents };
    for Page { path, text } in pages(&site) {
        std::fs::write(fresh.path().join(path), text).context(context)?;
    }
    std::fs::write(fresh.path().join(MARKER), "").context(context)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(fresh.path(), mode).context(context)?;
    let old = tempfile::Builder::new().prefix(".ister-report-").tempdir_in(parent).context(context)?;
    if directory.exists() {
        std::fs::rename(&directory, old.path().join("old")).context(context)?;
    }
    std::fs::rename(fresh.path(), &directory).context(context)?;
    crate::host::unregister_file(fresh.path());
    // It was renamed, so it must not be removed under its old name.
    let _ = fresh.keep();
    Ok(())
}

/// Copies the files that a boot wrote to a results directory, as far as they still exist.
fn copy_report(place: &Path, boot: &BootRecord, to: &Path) -> Result<BootFiles, Failure> {
    let report = Path::new(&boot.report);
    let copy_as = |from: PathBuf, name: &str| -> Result<bool, Failure> {
        let context = || format!("could not copy `{}`", place.join(&from).display());
        let Some(file) = open_plain(place, &from).context(context)? else { return Ok(false) };
        let mut out = File::create(to.join(name)).context(context)?;
        std::io::copy(&mut file.take(MAX_LOG_SIZE), &mut out).context(context)?;
        Ok(true)
    };
    let copy = |name: &str| copy_as(report.join(name), name);
    let has_screen = copy("screen.png")?;
    let picture = report.parent().unwrap_or(Path::new("")).join(boot_paths_picture(&boot.file));
    let has_boot_paths = copy_as(picture, BootFiles::BOOT_PATHS)?;
    let mut log = Vec::new();
    let mut left_out = 0;
    if copy("serial.log")? {
        let context = || format!("could not read `{}`", to.display());
        let mut file = File::open(to.join("serial.log")).context(context)?;
        let size = file.metadata().context(context)?.len();
        left_out = size.saturating_sub(MAX_SHOWN_LOG);
        file.seek(SeekFrom::Start(left_out)).context(context)?;
        file.read_to_end(&mut log).context(context)?;
    }
    Ok(BootFiles { serial: console_lines(&log), left_out, has_screen, has_boot_paths })
}

/// Copies what the build of a type wrote about its contents, as far as it still exists.
fn copy_contents(place: &Path, kind: &str, site: &Path) -> Result<ContentsFiles, Failure> {
    let from = place.join(kind);
    let to = site.join(kind);
    let read = |suffix: &str| -> Result<Option<Vec<u8>>, Failure> {
        let context = || format!("could not copy `*{suffix}` from `{}`", from.display());
        let Ok(entries) = std::fs::read_dir(&from) else { return Ok(None) };
        let mut names: Vec<PathBuf> = entries.flatten().map(|entry| entry.file_name().into()).collect();
        names.retain(|name| name.to_str().is_some_and(|name| name.ends_with(suffix)));
        names.sort();
        let Some(name) = names.first() else { return Ok(None) };
        let Some(file) = open_plain(place, &Path::new(kind).join(name)).context(context)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(MAX_LOG_SIZE).read_to_end(&mut bytes).context(context)?;
        Ok(Some(bytes))
    };
    let write = |name: &str, bytes: Option<Vec<u8>>| -> Result<bool, Failure> {
        let context = || format!("could not write `{}`", to.join(name).display());
        let Some(bytes) = bytes else { return Ok(false) };
        std::fs::create_dir_all(&to).context(context)?;
        std::fs::write(to.join(name), bytes).context(context)?;
        Ok(true)
    };
    // A plan of another version is not drawn.
    let plan = read(".plan.json")?.and_then(|bytes| serde_json::from_slice::<Plan>(&bytes).ok());
    Ok(ContentsFiles {
        has_plan: write(ContentsFiles::PLAN, plan.map(|plan| plan_svg(&plan).into_bytes()))?,
        has_packages: write(ContentsFiles::PACKAGES, read(".packages")?)?,
        has_sbom: write(ContentsFiles::SBOM, read(".spdx.json")?)?,
    })
}

/// The maximum size of a copied serial log.
const MAX_LOG_SIZE: u64 = 64 << 20;
/// The maximum size of the part of a serial log that is shown on a page, which is its end.
const MAX_SHOWN_LOG: u64 = 1 << 20;

/// Opens a regular file in an untrusted directory, without following symbolic links.
fn open_plain(directory: &Path, name: &Path) -> std::io::Result<Option<File>> {
    let directory = File::open(directory)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let file = match openat2(&directory, name, flags, Mode::empty(), how) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(file.metadata()?.is_file().then_some(file))
}
