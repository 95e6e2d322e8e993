//! `ister lint`

use super::console::{Console, Verbosity, print};
use super::files::{definitions, directory_of, file_facts_in, replace_file};
use super::findings::{FindingsFormat, LevelArgs, LintRules, formatted};
use super::input::count;
use super::run::{Outcome, error_text};
use super::sources::{Named, Sources, Wanted};
use crate::lint::{AppliedFix, Finding, Level, LintResult, fix, lint};
use crate::report::{self, Checked, CheckedTemplates};
use crate::template::{Encoding, Safety, SourceText};
use anyhow::bail;
use clap::Args;
use std::path::{Path, PathBuf};

/// Check templates for errors and likely mistakes
///
/// Directories are searched for *.json files that look like templates. Exit code 0: no errors, possibly warnings;
/// 1: errors were found, or with --diff something would change; 2: an input could not be read.
///
/// To suppress a warning in a template, add a reason:
/// "$lint": { "allow": { "hostname-long": "name given by the customer" } }
///
/// Example: ister lint vm-tests
#[derive(Args, Debug)]
pub(super) struct LintArgs {
    /// Templates or directories; `-` reads standard input
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Skip files that do not look like templates, even if given explicitly
    #[arg(long)]
    templates_only: bool,

    /// File name to show in findings for standard input
    #[arg(long, value_name = "NAME")]
    stdin_filename: Option<String>,

    /// Output format of findings
    #[arg(long, value_enum, default_value_t = FindingsFormat::Human)]
    format: FindingsFormat,

    /// Apply safe fixes. For standard input, the fixed template is printed and
    /// findings go to standard error
    #[arg(long)]
    fix: bool,

    /// With --fix or --diff: also apply fixes that are guesses or change the image
    #[arg(long)]
    unsafe_fixes: bool,

    /// Show what --fix would change, as a diff; no file is written
    #[arg(long)]
    diff: bool,

    /// Show the number of findings per rule instead of the findings
    #[arg(long)]
    statistics: bool,

    #[command(flatten)]
    levels: LevelArgs<LintRules>,

    /// Directory with bundle definitions, which take precedence over the built-in
    /// ones
    #[arg(long, value_name = "DIR")]
    bundles: Option<PathBuf>,
}

pub(super) fn run(args: &LintArgs) -> anyhow::Result<Outcome> {
    let summarizes = if args.diff { "--diff" } else { "--statistics" };
    if (args.diff || args.statistics) && args.format != FindingsFormat::Human {
        bail!("{summarizes} replaces the findings, so it cannot be combined with --format");
    }
    let sources = Sources::find(&args.paths, Named::new(args.templates_only), Wanted::TemplatesAndTypes);
    let definitions = definitions(args.bundles.as_deref())?;
    let judge = |source: &SourceText| {
        let mut linted = lint(source, &definitions, |template| file_facts_in(template, directory_of(source)));
        args.levels.levels.apply(&mut linted.findings);
        linted
    };
    let fixing = args.fix || args.diff;
    let wanted = if args.unsafe_fixes { any_fix } else { safe_fix };
    // The number of fixes that a run with --fix would apply.
    let available = |source: &SourceText, linted: &LintResult, wanted: &dyn Fn(&Finding) -> bool| {
        let is_human = args.format == FindingsFormat::Human && !args.statistics && !args.diff;
        let fixable = linted.findings.iter().filter(|finding| wanted(finding)).count();
        match fixable {
            0 => 0,
            // Trying fixes checks the template again for each of them.
            1..=MOST_TRIED if is_human => fix(source, &judge, wanted).made.len(),
            _ => fixable,
        }
    };
    let results = sources.each(args.stdin_filename.as_deref(), |source| {
        if !fixing {
            let linted = judge(&source).light();
            let available = Available {
                safe: available(&source, &linted, &safe_fix),
                all: available(&source, &linted, &any_fix),
            };
            let checked = Checked::new(source, linted);
            return Processed { checked, before: None, made: Vec::new(), available };
        }
        let fixed = fix(&source, &judge, &wanted);
        let changed = fixed.source.text() != source.text()
            || source.encoding() == Encoding::Utf16 && !fixed.made.is_empty();
        let all = available(&fixed.source, &fixed.linted, &any_fix);
        let checked = Checked::new(fixed.source, fixed.linted);
        let available = Available { safe: 0, all };
        Processed { checked, before: changed.then_some(source), made: fixed.made, available }
    });

    let console = Console::new(Verbosity::Normal);
    let mut unreadable = false;
    for fault in &sources.faults {
        console.say(&format!("error: {fault}"));
        unreadable = true;
    }
    // If some files cannot be read or written, the others are still checked.
    let (mut processed, mut failed) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => processed.push(one),
            Err(error) => failed.push(error),
        }
    }
    let writes = args.fix && !args.diff;
    let written = if writes { write_fixed(args, &mut processed, &mut failed) } else { Written::Files };
    for error in &failed {
        console.say(&format!("error: {}", error_text(error)));
        unreadable = true;
    }
    let mut is_denied = false;
    for path in &sources.without_templates {
        let Some(level) = args.levels.levels.of_group(Level::Warning) else { break };
        console.say(&format!("{}: no templates found in `{}`", level.name(), path.display()));
        is_denied |= level == Level::Error;
    }
    if args.diff {
        return Ok(show_diffs(&processed, unreadable, is_denied));
    }
    if written == Written::Unreadable {
        console.say("error: could not fix standard input: neither UTF-8 nor UTF-16");
        unreadable = true;
    }
    let mut files = Vec::new();
    let mut fixes = Fixes::default();
    for one in processed {
        fixes.add(&one);
        files.push(one.checked);
    }
    let text = show(args, &files, &fixes)?;
    match written {
        Written::Files => print(&text),
        Written::Stdout | Written::Unreadable => console.say(text.trim_end()),
    }
    if unreadable {
        return Ok(Outcome::Usage);
    }
    let failed = is_denied || files.iter().any(|file| file.linted.has_errors());
    Ok(if failed { Outcome::Findings } else { Outcome::Fine })
}

/// Where fixed templates went. Findings do not go to stdout after a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Files,
    Stdout,
    /// Standard input that could not be decoded completely.
    Unreadable,
}

/// Writes the templates that fixes changed. Standard input goes to stdout, changed or not. Files that cannot be written
/// are removed from the list, because their findings are those after fixing.
fn write_fixed(args: &LintArgs, processed: &mut Vec<Processed>, failed: &mut Vec<anyhow::Error>) -> Written {
    let mut written = Written::Files;
    processed.retain(|one| {
        let source = &one.checked.source;
        if args.paths.iter().any(|path| path == Path::new("-")) && one.is_stdin(args) {
            written = match source.encoding() {
                Encoding::Unknown { .. } => Written::Unreadable,
                _ => {
                    print(source.text());
                    Written::Stdout
                }
            };
        } else if one.before.is_some()
            && let Err(error) = replace_file(Path::new(source.name()), source.text())
        {
            failed.push(error);
            return false;
        }
        true
    });
    written
}

/// A template with more fixable findings is not fixed just to count the fixes.
const MOST_TRIED: usize = 10;

fn safe_fix(finding: &Finding) -> bool {
    finding.fix.as_ref().is_some_and(|fix| fix.safety == Safety::Safe)
}

fn any_fix(finding: &Finding) -> bool {
    finding.fix.is_some()
}

struct Processed {
    checked: Checked,
    /// The original, if fixes changed it.
    before: Option<SourceText>,
    made: Vec<AppliedFix>,
    available: Available,
}

/// Numbers of fixes that could still be applied.
#[derive(Clone, Copy, Debug, Default)]
struct Available {
    /// With `--fix`.
    safe: usize,
    /// With `--fix --unsafe-fixes`.
    all: usize,
}

/// The fixes of all files, for the summary.
#[derive(Default)]
struct Fixes {
    /// A line for each that was applied.
    made: Vec<String>,
    available: Available,
}

impl Fixes {
    fn add(&mut self, one: &Processed) {
        let file = one.checked.source.shown_name();
        let line = |fix: &AppliedFix| format!("fixed {file}:{}: {} [{}]\n", fix.line, fix.title, fix.rule);
        self.made.extend(one.made.iter().map(line));
        self.available.safe += one.available.safe;
        self.available.all += one.available.all;
    }
}

impl Processed {
    fn is_stdin(&self, args: &LintArgs) -> bool {
        self.checked.source.name() == args.stdin_filename.as_deref().unwrap_or("<stdin>")
    }
}

fn show(args: &LintArgs, files: &[Checked], fixes: &Fixes) -> anyhow::Result<String> {
    if args.statistics {
        return Ok(report::statistics(files));
    }
    let text = formatted(args.format, &CheckedTemplates(files))?;
    Ok(if args.format == FindingsFormat::Human { text + &summary(files, fixes) } else { text })
}

fn summary(files: &[Checked], fixes: &Fixes) -> String {
    let findings = || files.iter().flat_map(|file| &file.linted.findings);
    let of = |level: Level| findings().filter(|f| f.level == level).count();
    let mut text = fixes.made.concat();
    let types = files.iter().filter(|file| file.linted.is_image_type).count();
    let checked = match (files.len() - types, types) {
        (templates, 0) => count(templates, "template"),
        (0, types) => count(types, "image type"),
        (templates, types) => format!("{} and {}", count(templates, "template"), count(types, "image type")),
    };
    text += &format!(
        "{checked} checked: {}, {}, {}\n",
        count(of(Level::Error), "error"),
        count(of(Level::Warning), "warning"),
        count(of(Level::Note), "note"),
    );
    let dropped: usize = files.iter().map(|file| file.linted.dropped).sum();
    if dropped > 0 {
        text += &format!(
            "{dropped} more not shown; at most {} errors are listed per file\n",
            crate::finding::MAX_FINDINGS
        );
    }
    let made = fixes.made.len();
    if made > 0 {
        text +=
            &format!("{} applied\n", if made == 1 { "1 fix".to_owned() } else { format!("{made} fixes") });
    }
    let Available { safe, all } = fixes.available;
    let available = |number: usize| match number {
        1 => "1 fix".to_owned(),
        number => format!("{number} fixes"),
    };
    match (safe, all.saturating_sub(safe)) {
        (0, 0) => {}
        (safe, 0) => {
            text += &format!("{} available with `--fix`; `--diff` shows the changes\n", available(safe))
        }
        (0, others) => {
            text += &format!(
                "{} available with `--fix --unsafe-fixes`; `--diff --unsafe-fixes` shows the changes\n",
                available(others)
            );
        }
        (safe, others) => {
            text += &format!(
                "{} available with `--fix`, {others} more with `--unsafe-fixes`; `--diff` shows the changes\n",
                available(safe)
            );
        }
    }
    text
}

fn show_diffs(processed: &[Processed], unreadable: bool, is_denied: bool) -> Outcome {
    let mut changes = is_denied;
    for one in processed {
        let Some(before) = &one.before else { continue };
        changes = true;
        print(&unified_diff(before.name(), before.text(), one.checked.source.text()));
    }
    match (unreadable, changes) {
        (true, _) => Outcome::Usage,
        (false, true) => Outcome::Findings,
        (false, false) => Outcome::Fine,
    }
}

/// A unified diff with three lines of context.
pub(super) fn unified_diff(name: &str, before: &str, after: &str) -> String {
    similar::TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(name, name)
        .to_string()
}
