//! `ister fmt`

use super::console::{Console, Verbosity, print};
use super::files::replace_file;
use super::input::count;
use super::lint::unified_diff;
use super::run::{Outcome, error_text};
use super::sources::{Named, Sources, Wanted};
use crate::template::{Encoding, format_json};
use clap::Args;
use std::path::{Path, PathBuf};

/// Format templates
///
/// Only white space changes: each partition is on one line, sections are indented
/// by four spaces. Key order and values are preserved. Files that are not valid
/// JSON are not changed.
///
/// Example: ister fmt --check vm-tests
#[derive(Args, Debug)]
pub(super) struct FmtArgs {
    /// Templates or directories; `-` reads standard input and prints the result
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Skip files that do not look like templates, even if given explicitly
    #[arg(long)]
    templates_only: bool,

    /// Do not write files; exit code 1 if a file would be reformatted
    #[arg(long)]
    check: bool,

    /// Show a diff and do not write files; exit code 1 if a file would be
    /// reformatted
    #[arg(long)]
    diff: bool,
}

pub(super) fn run(args: &FmtArgs) -> anyhow::Result<Outcome> {
    let console = Console::new(Verbosity::Normal);
    let sources = Sources::find(&args.paths, Named::new(args.templates_only), Wanted::Templates);
    let mut unreadable = !sources.faults.is_empty();
    for fault in &sources.faults {
        console.say(&format!("error: {fault}"));
    }
    let results = sources.each(None, |source| {
        let formatted = match source.encoding() {
            Encoding::Utf8 => format_json(source.text()).map_err(|faults| {
                let fault = &faults[0];
                format!("{}: could not format: invalid JSON: {}", source.place(fault.span), fault.message)
            }),
            _ => Err(format!("{}: could not format: not UTF-8; try `ister lint --fix`", source.name())),
        };
        (source, formatted)
    });
    let mut changed = 0;
    let mut same = 0;
    for (path, result) in sources.files.iter().zip(results) {
        let (source, formatted) = match result {
            Ok((source, Ok(formatted))) => (source, formatted),
            Ok((_, Err(fault))) => {
                console.say(&format!("error: {fault}"));
                unreadable = true;
                continue;
            }
            Err(error) => {
                console.say(&format!("error: {}", error_text(&error)));
                unreadable = true;
                continue;
            }
        };
        let differs = formatted != source.text();
        changed += usize::from(differs);
        same += usize::from(!differs);
        if args.diff {
            if differs {
                print(&unified_diff(source.name(), source.text(), &formatted));
            }
        } else if args.check {
            if differs {
                print(&format!("{}: would be reformatted\n", source.name()));
            }
        } else if path == Path::new("-") {
            print(&formatted);
        } else if differs {
            replace_file(path, &formatted)?;
        }
    }
    if !args.diff && !args.paths.iter().any(|path| path == Path::new("-")) {
        let (verb, rest) = match args.check {
            true => ("would be reformatted", "already formatted"),
            false => ("reformatted", "left unchanged"),
        };
        print(&format!("{} {verb}, {same} {rest}\n", count(changed, "template")));
    }
    if unreadable {
        return Ok(Outcome::Usage);
    }
    Ok(if (args.check || args.diff) && changed > 0 { Outcome::Findings } else { Outcome::Fine })
}
