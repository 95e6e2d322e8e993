//! `ister schema`

use super::console::print;
use super::run::Outcome;
use crate::lint::SCHEMA_TEXT;
use clap::Args;

/// Print the JSON Schema of templates, for editors
#[derive(Args, Debug)]
pub struct SchemaArgs {}

pub fn run(_: &SchemaArgs) -> anyhow::Result<Outcome> {
    print(SCHEMA_TEXT);
    Ok(Outcome::Fine)
}
