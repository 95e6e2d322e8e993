//! `ister rules`

use super::console::{print, terminal_width};
use super::input::print_json;
use super::run::Outcome;
use crate::report::{rules_markdown, rules_output, rules_table};
use clap::{Args, ValueEnum};

/// List the rules of `lint` and `verify`
///
/// Example: ister rules --format json
#[derive(Args, Debug)]
pub(super) struct RulesArgs {
    /// Output format
    #[arg(long, value_enum, default_value_t = RulesFormat::Table)]
    format: RulesFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RulesFormat {
    Table,
    Json,
    Markdown,
}

pub(super) fn run(args: &RulesArgs) -> anyhow::Result<Outcome> {
    match args.format {
        RulesFormat::Table => print(&rules_table(terminal_width())),
        RulesFormat::Json => print_json(&rules_output()),
        RulesFormat::Markdown => print(&rules_markdown()),
    }
    Ok(Outcome::Fine)
}
