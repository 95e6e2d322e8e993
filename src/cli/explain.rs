//! `ister explain`

use super::console::print;
use super::run::Outcome;
use crate::lint::{RULES, nearest_rule, rule};
use crate::report::{explain, explain_verification};
use crate::verify;
use clap::Args;

/// Say what a rule of `lint` or `verify` means, why, and what to write instead
///
/// Example: ister explain esp-small
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The rule, as findings name it in brackets
    #[arg(value_name = "RULE", required = true)]
    rules: Vec<String>,
}

pub fn run(args: &ExplainArgs) -> anyhow::Result<Outcome> {
    let mut texts = Vec::new();
    for name in &args.rules {
        let text = rule(name).map(explain).or_else(|| verify::rule(name).map(explain_verification));
        let Some(text) = text else {
            let help = match nearest_rule(name) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("`ister rules` lists all {}", RULES.len() + verify::RULES.len()),
            };
            anyhow::bail!("there is no rule `{name}`; {help}");
        };
        texts.push(text);
    }
    print(&texts.join("\n"));
    Ok(Outcome::Fine)
}
