//! `ister explain`

use super::console::print;
use super::run::Outcome;
use crate::report::{explain, rule_names, rule_text};
use crate::template::nearest;
use clap::Args;

/// Explain rules of `ister lint` and `ister verify`
///
/// Example: ister explain esp-small
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// Rule name, as shown in brackets in findings
    #[arg(value_name = "RULE", required = true)]
    rules: Vec<String>,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<Outcome> {
    let mut texts = Vec::new();
    for name in &args.rules {
        let Some(rule) = rule_text(name) else {
            let help = match nearest(name, &rule_names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "run `ister rules` for a list".to_owned(),
            };
            anyhow::bail!("unknown rule `{name}`; {help}");
        };
        texts.push(explain(&rule));
    }
    print(&texts.join("\n"));
    Ok(Outcome::Fine)
}
