//! `ister fmt`

use super::console::{Console, Verbosity, print};
use super::files::replace_file;
use super::input::count;
use super::lint::unified_diff;
use super::run::Outcome;
use super::sources::{Named, Sources};
use crate::template::{Encoding, format_json};
use clap::Args;
use std::path::{Path, PathBuf};

/// Lay templates out in one way: only white space changes
///
/// A partition stands on one line, a section on several, four spaces a level.
/// Key order and values stay. Files that are not JSON are left alone.
///
/// Example: ister fmt --check vm-tests
#[derive(Args, Debug)]
pub(super) struct FmtArgs {
    /// Templates, or directories; `-` reads standard input and prints
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// Pass over files that do not look like templates, also named ones
    #[arg(long)]
    templates_only: bool,

    /// Write nothing; exit code 1 if a file would change
    #[arg(long)]
    check: bool,

    /// Show what would change, and write nothing
    #[arg(long)]
    diff: bool,
}

pub(super) fn run(args: &FmtArgs) -> anyhow::Result<Outcome> {
    let console = Console::new(Verbosity::Normal);
    let sources = Sources::find(&args.paths, Named::new(args.templates_only));
    let mut unreadable = !sources.faults.is_empty();
    for fault in &sources.faults {
        console.say(&format!("error: {fault}"));
    }
    let results = sources.each(None, |source| {
        let formatted = match source.encoding() {
            Encoding::Utf8 => format_json(source.text()).map_err(|faults| {
                let fault = &faults[0];
                format!("{}: not laid out, it is not JSON: {}", source.place(fault.span), fault.message)
            }),
            _ => {
                Err(format!("{}: not laid out, it is not UTF-8; `ister lint --fix` may help", source.name()))
            }
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
                console.say(&format!("error: {error:#}"));
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
        let verb = if args.check { "would change" } else { "laid out" };
        print(&format!("{} {verb}, {same} as they should be\n", count(changed, "template")));
    }
    if unreadable {
        return Ok(Outcome::Usage);
    }
    Ok(if (args.check || args.diff) && changed > 0 { Outcome::Findings } else { Outcome::Fine })
}
