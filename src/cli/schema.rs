//! `ister schema`

use super::console::print;
use super::run::Outcome;
use crate::lint::SCHEMA_TEXT;
use crate::plan::PLAN_SCHEMA_TEXT;
use clap::{Args, ValueEnum};

/// Print the JSON Schema (2020-12) of templates or plans
///
/// Example: ister schema > ister-template.schema.json
#[derive(Args, Debug)]
pub(super) struct SchemaArgs {
    /// Which schema to print
    #[arg(value_enum, default_value_t = Of::Template)]
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Templates
    Template,
    /// Plans, as printed by `ister plan --format json`
    Plan,
}

pub(super) fn run(args: &SchemaArgs) -> anyhow::Result<Outcome> {
    print(match args.of {
        Of::Template => SCHEMA_TEXT,
        Of::Plan => PLAN_SCHEMA_TEXT,
    });
    Ok(Outcome::Fine)
}
