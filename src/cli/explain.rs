//! `ister explain`

use super::console::print;
use super::run::Outcome;
use crate::report::{explain, rule_names, rule_text};
use crate::template::nearest;
use clap::Args;

/// Say what a rule of `lint` or `verify` means, why, and what to write instead
///
/// Example: ister explain esp-small
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The rule, as findings name it in brackets
    #[arg(value_name = "RULE", required = true)]
    rules: Vec<String>,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<Outcome> {
    let mut texts = Vec::new();
    for name in &args.rules {
        let Some(rule) = rule_text(name) else {
            let help = match nearest(name, &rule_names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "`ister rules` lists them all".to_owned(),
            };
            anyhow::bail!("there is no rule `{name}`; {help}");
        };
        texts.push(explain(&rule));
    }
    print(&texts.join("\n"));
    Ok(Outcome::Fine)
}
