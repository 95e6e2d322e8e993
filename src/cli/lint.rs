//! `ister lint`

use super::console::{Console, Verbosity, print};
use super::files::{definitions, file_facts, replace_file};
use super::findings::{FindingsFormat, LevelArgs, LintRules, formatted};
use super::input::count;
use super::run::Outcome;
use super::sources::{Named, Sources};
use crate::lint::{Finding, Level, fix, lint};
use crate::report::{self, Checked, CheckedTemplates};
use crate::template::{Encoding, Safety, SourceText};
use clap::Args;
use std::path::{Path, PathBuf};

/// Check templates for errors and likely mistakes
///
/// Directories are searched for *.json files that look like templates. Exit code 0: no errors, possibly warnings;
/// 1: errors were found.
///
/// To suppress a warning in a template, add a reason:
/// "$lint": { "allow": { "hostname-long": "name given by the customer" } }
///
/// Example: ister lint vm-tests
#[derive(Args, Debug)]
pub(super) struct LintArgs {
    /// Templates or directories; `-` reads standard input
    #[arg(value_name = "PATH", required = true)]
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

    /// Also apply fixes that are guesses or change the image
    #[arg(long)]
    unsafe_fixes: bool,

    /// Show the fixes as a diff and do not write files
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
    let sources = Sources::find(&args.paths, Named::new(args.templates_only));
    let definitions = definitions(args.bundles.as_deref())?;
    let judge = |source: &SourceText| {
        let mut linted = lint(source, &definitions, file_facts);
        args.levels.levels.apply(&mut linted.findings);
        linted
    };
    let wanted = |finding: &Finding| match finding.fix.as_ref().map(|fix| fix.safety) {
        Some(Safety::Safe) => true,
        Some(Safety::Unsafe) => args.unsafe_fixes,
        None => false,
    };
    let fixing = args.fix || args.unsafe_fixes || args.diff;
    let results = sources.each(args.stdin_filename.as_deref(), |source| {
        if !fixing {
            let linted = judge(&source).light();
            return Processed { checked: Checked::new(source, linted), before: None, made: 0 };
        }
        let fixed = fix(&source, &judge, &wanted);
        let changed =
            fixed.source.text() != source.text() || source.encoding() == Encoding::Utf16 && fixed.made > 0;
        let checked = Checked::new(fixed.source, fixed.linted);
        Processed { checked, before: changed.then_some(source), made: fixed.made }
    });

    let console = Console::new(Verbosity::Normal);
    let mut unreadable = false;
    for fault in &sources.faults {
        console.say(&format!("error: {fault}"));
        unreadable = true;
    }
    let mut processed = Vec::new();
    for result in results {
        match result {
            Ok(one) => processed.push(one),
            // Keep going: the other files are still checked.
            Err(error) => {
                console.say(&format!("error: {error:#}"));
                unreadable = true;
            }
        }
    }
    if args.diff {
        return Ok(show_diffs(&processed, unreadable));
    }
    let mut made = 0;
    let mut to_stdout = false;
    if fixing {
        for one in &processed {
            let name = one.checked.source.name();
            if args.paths.iter().any(|path| path == Path::new("-")) && one.is_stdin(args) {
                if let Encoding::Unknown { .. } = one.checked.source.encoding() {
                    console.say("error: could not fix standard input: neither UTF-8 nor UTF-16");
                    unreadable = true;
                } else {
                    print(one.checked.source.text());
                }
                to_stdout = true;
            } else if one.before.is_some() {
                replace_file(Path::new(name), one.checked.source.text())?;
            }
            made += one.made;
        }
    }
    let files: Vec<Checked> = processed.into_iter().map(|one| one.checked).collect();
    let text = show(args, &files, made)?;
    if to_stdout {
        console.say(text.trim_end());
    } else {
        print(&text);
    }
    if unreadable {
        return Ok(Outcome::Usage);
    }
    Ok(if files.iter().any(|file| file.linted.has_errors()) { Outcome::Findings } else { Outcome::Fine })
}

struct Processed {
    checked: Checked,
    /// The original, if fixes changed it.
    before: Option<SourceText>,
    made: usize,
}

impl Processed {
    fn is_stdin(&self, args: &LintArgs) -> bool {
        self.checked.source.name() == args.stdin_filename.as_deref().unwrap_or("<stdin>")
    }
}

fn show(args: &LintArgs, files: &[Checked], made: usize) -> anyhow::Result<String> {
    if args.statistics {
        return Ok(report::statistics(files));
    }
    let text = formatted(args.format, &CheckedTemplates(files))?;
    Ok(if args.format == FindingsFormat::Human { text + &summary(files, made) } else { text })
}

fn summary(files: &[Checked], made: usize) -> String {
    let findings = || files.iter().flat_map(|file| &file.linted.findings);
    let of = |level: Level| findings().filter(|f| f.level == level).count();
    let fixable =
        |safety: Safety| findings().filter(|f| f.fix.as_ref().is_some_and(|x| x.safety == safety)).count();
    let mut text = format!(
        "{} checked: {}, {}, {}\n",
        count(files.len(), "template"),
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
    if made > 0 {
        text +=
            &format!("{} applied\n", if made == 1 { "1 fix".to_owned() } else { format!("{made} fixes") });
    }
    match (fixable(Safety::Safe), fixable(Safety::Unsafe)) {
        (0, 0) => {}
        (safe, 0) => text += &format!("`--fix` fixes {safe} of them\n"),
        (0, others) => {
            text += &format!("`--unsafe-fixes` fixes {others} of them; `--diff` shows the changes\n")
        }
        (safe, others) => {
            text += &format!(
                "`--fix` fixes {safe} of them, `--unsafe-fixes` {others} more; `--diff` shows the changes\n"
            );
        }
    }
    text
}

fn show_diffs(processed: &[Processed], unreadable: bool) -> Outcome {
    let mut changes = false;
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
