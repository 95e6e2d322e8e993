//! `ister lint`

use super::build::Format;
use super::console::{Console, Talk, print};
use super::input::{count, file_facts, print_json, read_source, stdout_colour};
use super::run::Outcome;
use crate::lint::{Level, lint};
use crate::report;
use clap::Args;
use std::path::PathBuf;

/// Check templates: everything that is wrong, at once, each at its place
///
/// Exit code 1 if there are errors, 0 if there are none (warnings may be).
///
/// Example: ister lint vm-tests/*/template.json
#[derive(Args, Debug)]
pub struct LintArgs {
    /// Templates; `-` reads standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// What standard input is called in findings
    #[arg(long, value_name = "NAME")]
    stdin_filename: Option<String>,

    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

pub fn run(args: &LintArgs) -> anyhow::Result<Outcome> {
    let mut results = Vec::new();
    let mut unreadable = false;
    for path in &args.files {
        let source = match read_source(path, args.stdin_filename.as_deref()) {
            Ok(source) => source,
            Err(error) => {
                // The others still get their findings.
                Console::new(Talk::Quiet).say(&format!("error: {error:#}"));
                unreadable = true;
                continue;
            }
        };
        let linted = lint(&source, &crate::bundle::builtin(), file_facts);
        results.push((source, linted));
    }
    match args.format {
        Format::Json => {
            let files: Vec<_> =
                results.iter().map(|(source, linted)| (source, linted.findings.as_slice())).collect();
            print_json(&report::findings_json(&files));
        }
        Format::Human => {
            for (source, linted) in &results {
                print(&report::findings_human(source, &linted.findings, stdout_colour()));
            }
            let of = |level: Level| {
                results.iter().flat_map(|(_, linted)| &linted.findings).filter(|f| f.level == level).count()
            };
            print(&format!(
                "{} checked: {}, {}, {}\n",
                count(results.len(), "template"),
                count(of(Level::Error), "error"),
                count(of(Level::Warning), "warning"),
                count(of(Level::Note), "note"),
            ));
        }
    }
    if unreadable {
        return Ok(Outcome::Usage);
    }
    Ok(if results.iter().any(|(_, linted)| linted.has_errors()) { Outcome::Findings } else { Outcome::Fine })
}
