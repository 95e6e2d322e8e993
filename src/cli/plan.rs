//! `ister plan`

use super::console::print;
use super::input::{TemplateArgs, print_json};
use super::run::{Outcome, TalkArgs};
use crate::report::plan_table;
use clap::{Args, ValueEnum};

/// Show what would be built, to the byte; nothing is written
///
/// Example: ister plan vm-tests/kvm/template.json --format json
#[derive(Args, Debug)]
pub struct PlanArgs {
    #[command(flatten)]
    template: TemplateArgs,

    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = PlanFormat::Table)]
    format: PlanFormat,

    #[command(flatten)]
    talk: TalkArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    Table,
    Json,
}

pub fn run(args: &PlanArgs) -> anyhow::Result<Outcome> {
    let console = args.talk.console();
    let input = args.template.read()?;
    if !input.show_findings(&console) {
        return Ok(Outcome::Findings);
    }
    let planned = input.plan(&console);
    console.finish();
    let Some((plan, _)) = planned else { return Ok(Outcome::Findings) };
    match args.format {
        PlanFormat::Table => print(&plan_table(&plan)),
        PlanFormat::Json => print_json(&serde_json::to_value(&plan)?),
    }
    Ok(Outcome::Fine)
}
